//! [`ResumableStream`]: the messages of one stream, from as many calls as it takes.

use std::fmt;

use futures_util::{Stream, stream};
use tonic::{Request, Response, Status, Streaming};

use crate::clock::{Instant, chance, within};
use crate::messages::stalled;
use crate::network::Wait;
use crate::recovery::Recovery;
use crate::terms::Terms;
use crate::{Accept, CallError, Connection, Messages, Resume};

/// Calls a server-streaming method once. It is implemented for functions that take a request:
///
/// ```
/// # use journal::{ReadRequest, journal_client::JournalClient};
/// # use runnel_client::{StreamingCall, Transport};
/// # fn reading(client: JournalClient<impl Transport>) -> impl StreamingCall<ReadRequest> {
/// move |request| {
///     let mut client = client.clone();
///     async move { client.read(request).await }
/// }
/// # }
/// ```
///
/// You can implement it for a type of your own, so that the type of the stream can be named.
pub trait StreamingCall<M> {
    /// A message of the response.
    type Message;

    /// Makes the call.
    fn call(
        &mut self,
        request: Request<M>,
    ) -> impl Future<Output = Result<Response<Streaming<Self::Message>>, Status>>;
}

impl<M, A, C, F> StreamingCall<M> for C
where
    C: FnMut(Request<M>) -> F,
    F: Future<Output = Result<Response<Streaming<A>>, Status>>,
{
    type Message = A;

    fn call(
        &mut self,
        request: Request<M>,
    ) -> impl Future<Output = Result<Response<Streaming<A>>, Status>> {
        self(request)
    }
}

/// `Send` where there are threads. In a browser, whose values cannot always be sent, anything.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSend: Send {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Send> MaybeSend for T {}
#[cfg(not(target_arch = "wasm32"))]
type Tell = Box<dyn FnMut(Connection) + Send>;

/// `Send` where there are threads. In a browser, whose values cannot always be sent, anything.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSend {}
#[cfg(target_arch = "wasm32")]
impl<T> MaybeSend for T {}
#[cfg(target_arch = "wasm32")]
type Tell = Box<dyn FnMut(Connection)>;

/// The messages of a stream, each once and in order, however often the connection breaks on the way.
///
/// When a response is cut off, `R` says how to request the rest, and [`Policy`](crate::Policy) when. As
/// long as no message is read, flow control stops the server; dropping the stream cancels the call.
/// [`Calls::resume`](crate::Calls::resume) makes one.
pub struct ResumableStream<R: Resume, C> {
    terms: Terms,
    call: C,
    resume: R,
    recovery: Recovery,
    /// The response that is being read.
    open: Option<Messages<R::Message>>,
    /// How many messages the reader has got.
    delivered: u64,
    /// How many responses have begun.
    answers: u32,
    tell: Tell,
}

impl<R, C> ResumableStream<R, C>
where
    R: Resume,
    C: StreamingCall<R::Request, Message = R::Message>,
{
    pub(crate) fn new(terms: Terms, resume: R, call: C) -> Self {
        Self {
            terms,
            call,
            resume,
            recovery: Recovery::new(Instant::now()),
            open: None,
            delivered: 0,
            answers: 0,
            tell: Box::new(|_| {}),
        }
    }

    /// Calls `tell` whenever the stream's connection changes.
    #[must_use]
    pub fn watched_by(mut self, tell: impl FnMut(Connection) + MaybeSend + 'static) -> Self {
        self.tell = Box::new(tell);
        self
    }

    /// The position in the stream.
    pub fn position(&self) -> &R {
        &self.resume
    }

    /// Resolves when the server has begun its response.
    pub async fn open(&mut self) -> Result<(), CallError> {
        while self.open.is_none() {
            if let Err(error) = self.ask().await {
                self.recover(error).await?;
            }
        }
        Ok(())
    }

    /// The next message; `None` after the last one. After an error the stream is given up. Calling this
    /// again tries to continue where the stream broke, which makes sense if the error [keeps its
    /// place](CallError::keeps_its_place); after any other error it fails with the same error.
    pub async fn next(&mut self) -> Option<Result<R::Message, CallError>> {
        loop {
            let error = match self.advance().await {
                Ok(Some(message)) => return Some(Ok(message)),
                Ok(None) => return None,
                Err(error) => error,
            };
            self.open = None;
            // What was cut off is only the word that it is over.
            if self.resume.is_complete() && error.is_resumable() {
                return None;
            }
            if let Err(error) = self.recover(error).await {
                return Some(Err(error));
            }
        }
    }

    /// Ends the open call, if there is one. Reading the next message requests the rest, so no message is
    /// lost, and meanwhile the stream takes neither a connection nor a place at the server.
    pub fn let_go(&mut self) {
        if self.open.take().is_some() {
            // To go on after that is no resuming: nothing broke.
            self.answers = self.answers.saturating_sub(1);
        }
    }

    /// The same as a [`Stream`], which ends after the first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<R::Message, CallError>> {
        stream::unfold(Some(self), async |messages| {
            let mut messages = messages?;
            let message = messages.next().await?;
            let rest = message.is_ok().then_some(messages);
            Some((message, rest))
        })
    }

    /// The next message of the open response, or of a new one.
    async fn advance(&mut self) -> Result<Option<R::Message>, CallError> {
        loop {
            let Some(open) = &mut self.open else {
                self.ask().await?;
                continue;
            };
            let Some(message) = open.advance().await? else {
                self.resume.end()?;
                return Ok(None);
            };
            match self.resume.accept(&message)? {
                Accept::Deliver => {
                    self.delivered += 1;
                    return Ok(Some(message));
                }
                Accept::Skip => {}
                Accept::AskAgain => self.open = None,
            }
        }
    }

    /// Requests the messages that have not arrived yet.
    async fn ask(&mut self) -> Result<(), CallError> {
        (self.tell)(Connection::Connecting);
        let request = Request::new(self.resume.next_request());
        let stall = self.terms.policy.stall;
        let answer = within(stall, self.call.call(request)).await;
        self.open = Some(Messages::new(answer.ok_or_else(|| stalled(stall))??, stall));
        self.answers = self.answers.saturating_add(1);
        (self.tell)(Connection::Live { resumed: self.answers - 1 });
        Ok(())
    }

    /// Waits until it is time to resume after `error`; returns the error if the stream is given up.
    async fn recover(&mut self, error: CallError) -> Result<(), CallError> {
        let Self { terms, recovery, delivered, tell, .. } = self;
        let Terms { policy, budget, network } = terms;
        let now = Instant::now();
        let delay = recovery.delay(&error, *delivered, policy, budget, now, chance());
        let Some(delay) = delay else {
            recovery.start_over(Instant::now());
            return Err(error);
        };
        let announced = network.wait(delay, |wait| match wait {
            Wait::For(delay) => tell(Connection::Resuming { delay }),
            Wait::ForNetwork => tell(Connection::Offline),
        });
        if announced.await {
            recovery.start_over(Instant::now());
        }
        Ok(())
    }
}

impl<R: Resume + fmt::Debug, C> fmt::Debug for ResumableStream<R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumableStream").field("position", &self.resume).finish_non_exhaustive()
    }
}
