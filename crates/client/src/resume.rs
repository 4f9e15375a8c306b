//! [`Resume`]: what a caller knows of a stream, so that it can be resumed where it broke.

use crate::CallError;

/// Where a stream stands: which of its messages are here, and how to ask for the rest. No time and no
/// transport are in it, so it is tested as plain arithmetic.
///
/// ```
/// use journal::{Entry, ReadRequest};
/// use runnel_client::{Accept, CallError, Resume};
///
/// /// The last entry that was read.
/// #[derive(Default)]
/// struct Bookmark(String);
///
/// impl Resume for Bookmark {
///     type Request = ReadRequest;
///     type Message = Entry;
///
///     fn next_request(&mut self) -> ReadRequest {
///         ReadRequest { after: self.0.clone() }
///     }
///
///     fn accept(&mut self, entry: &Entry) -> Result<Accept, CallError> {
///         self.0.clone_from(&entry.cursor);
///         Ok(Accept::Deliver)
///     }
/// }
/// ```
pub trait Resume {
    /// The request of the method.
    type Request;
    /// A message of its answer.
    type Message;

    /// The request that gives the rest: everything at first, and later what comes behind the messages
    /// that were accepted.
    fn next_request(&mut self) -> Self::Request;

    /// Takes note of the next message of the answer to [`Self::next_request`]. An error ends the stream: a
    /// message is missing, say, and [`CallError::Protocol`] says which.
    fn accept(&mut self, message: &Self::Message) -> Result<Accept, CallError>;

    /// Whether every message is here, so that a connection that breaks now has nothing left to bring.
    /// Without an answer to that, `false`, the server's word for the end is waited for.
    fn is_complete(&self) -> bool {
        false
    }

    /// Looks at the end of an answer that the server calls good. An error says that messages are missing.
    fn end(&self) -> Result<(), CallError> {
        Ok(())
    }
}

/// What to do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    /// It is the next one: the reader gets it.
    Deliver,
    /// It was delivered before: the reader does not get it again.
    Skip,
    /// The server did not give what was asked for: ask again, with [`Resume::next_request`].
    AskAgain,
}
