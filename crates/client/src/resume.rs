//! [`Resume`]: what a caller knows about a stream, so that it can be resumed where it broke.

use crate::CallError;

/// The position in a stream: which messages have arrived, and how to request the rest. It involves neither
/// time nor transport, so it can be tested as plain arithmetic.
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
    /// A message of its response.
    type Message;

    /// The request for the rest of the stream: at first for all messages, later for those after the
    /// accepted ones.
    fn next_request(&mut self) -> Self::Request;

    /// Takes note of the next message of the response to [`Self::next_request`]. An error ends the stream;
    /// use [`CallError::Protocol`] if, for instance, a message is missing.
    fn accept(&mut self, message: &Self::Message) -> Result<Accept, CallError>;

    /// Whether all messages have arrived, so that a connection that breaks now loses nothing. With `false`,
    /// the default, the stream ends only when the server ends it.
    fn is_complete(&self) -> bool {
        false
    }

    /// Checks the end of a response with the status OK. Return an error if messages are missing.
    fn end(&self) -> Result<(), CallError> {
        Ok(())
    }
}

/// What happens to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    /// It is the next message: the reader gets it.
    Deliver,
    /// It was delivered before, so the reader does not get it again.
    Skip,
    /// The server did not send what was requested: call again, with [`Resume::next_request`].
    AskAgain,
}
