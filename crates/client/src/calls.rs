//! [`Calls`]: calls with a policy, through any client that tonic generated.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};

use crate::clock::{Instant, chance, sleep, within};
use crate::messages::stalled;
use crate::network::Network;
use crate::terms::Terms;
use crate::transport::Unary;
use crate::{
    CallError, Messages, Policy, ResumableStream, Resume, Retry, RetryBudget, StreamingCall,
};

/// Tokens of the retry budget, and thousandths that a success gives back. gRPC's own example.
const BUDGET: (u32, u32) = (10, 100);

/// Makes calls according to a [`Policy`]. It owns no connection: each method takes a function that makes
/// the call, with the generated client and the transport of the caller.
///
/// A clone is cheap and shares the retry budget. Dropping the future of a call, or the stream that it
/// returned, cancels the call.
#[derive(Debug, Clone)]
pub struct Calls {
    terms: Terms,
}

impl Default for Calls {
    fn default() -> Self {
        let budget = Arc::new(RetryBudget::new(BUDGET.0, BUDGET.1));
        Self { terms: Terms { policy: Arc::default(), budget, network: Network::unknown() } }
    }
}

impl Calls {
    /// Calls with the default [`Policy`] and a retry budget of their own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with another policy. The retry budget stays shared.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { terms: Terms { policy: Arc::new(policy), ..self.terms } }
    }

    /// The same with a retry budget that is shared with other calls to the same server.
    #[must_use]
    pub fn with_budget(self, budget: Arc<RetryBudget>) -> Self {
        Self { terms: Terms { budget, ..self.terms } }
    }

    /// The same, with news about the network. While the channel holds `false` there is no network, and no
    /// call is tried again. Each `true` that is sent ends all waits, so that calls try again at once. In a
    /// browser, use `BrowserNetwork::watch`.
    #[must_use]
    pub fn with_network(self, online: watch::Receiver<bool>) -> Self {
        Self { terms: Terms { network: Network::told_by(online), ..self.terms } }
    }

    /// The policy, the budget and the network.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.terms.policy
    }

    /// Makes a unary call, and makes it again if that may help and `retry` allows it, all within
    /// [`Policy::unary_deadline`]. `call` is called for each attempt; it may add metadata to its request.
    ///
    /// ```
    /// # use journal::{Entry, LastRequest, journal_client::JournalClient};
    /// # use runnel_client::{CallError, Calls, Retry, Transport};
    /// # async fn last(transport: impl Transport) -> Result<Entry, CallError> {
    /// let (calls, client) = (Calls::new(), JournalClient::new(transport));
    /// let call = async |request| client.clone().last(request).await;
    /// let entry = calls.unary(Retry::Idempotent, LastRequest {}, call).await?;
    /// # Ok(entry.into_inner())
    /// # }
    /// ```
    pub async fn unary<M, A, F>(
        &self,
        retry: Retry,
        message: M,
        mut call: impl FnMut(Request<M>) -> F,
    ) -> Result<Response<A>, CallError>
    where
        M: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let began = Instant::now();
        let deadline = self.terms.policy.unary_deadline;
        let left = || deadline.saturating_sub(began.elapsed());
        let mut attempts = Attempts::new(&self.terms, retry);
        loop {
            let mut request = attempts.request(message.clone());
            request.set_timeout(left());
            request.extensions_mut().insert(Unary);
            let error = match within(left(), call(request)).await {
                Some(Ok(answer)) => {
                    self.terms.budget.succeeded();
                    return Ok(answer);
                }
                Some(Err(status)) => CallError::from(status),
                None => CallError::TimedOut { message: format!("no answer within {deadline:?}") },
            };
            attempts.failed(error, left()).await?;
        }
    }

    /// Calls a server-streaming method. Until the server has begun its response, the call is made again if
    /// that may help and `retry` allows it. After that, errors go to the caller. [`Self::resume`] is for
    /// streams that have a cursor.
    pub async fn stream<M, A, F>(
        &self,
        retry: Retry,
        message: M,
        mut call: impl FnMut(Request<M>) -> F,
    ) -> Result<Messages<A>, CallError>
    where
        M: Clone,
        F: Future<Output = Result<Response<Streaming<A>>, Status>>,
    {
        let Policy { stall, patience, .. } = *self.terms.policy;
        let mut attempts = Attempts::new(&self.terms, retry);
        loop {
            let request = attempts.request(message.clone());
            let error = match within(stall, call(request)).await {
                Some(Ok(answer)) => {
                    self.terms.budget.succeeded();
                    return Ok(Messages::new(answer, stall));
                }
                Some(Err(status)) => CallError::from(status),
                None => stalled(stall),
            };
            attempts.failed(error, patience).await?;
        }
    }

    /// A stream that is resumed where it broke: `resume` knows where that is, and `call` makes each of the
    /// calls. Reading from a cursor must be idempotent. This sends nothing yet.
    pub fn resume<R, C>(&self, resume: R, call: C) -> ResumableStream<R, C>
    where
        R: Resume,
        C: StreamingCall<R::Request, Message = R::Message>,
    {
        ResumableStream::new(self.terms.clone(), resume, call)
    }
}

/// The attempts of one call.
struct Attempts<'a> {
    terms: &'a Terms,
    retry: Retry,
    failures: u32,
}

impl<'a> Attempts<'a> {
    fn new(terms: &'a Terms, retry: Retry) -> Self {
        Self { terms, retry, failures: 0 }
    }

    /// The request of the next attempt.
    fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if self.failures > 0 {
            let previous = MetadataValue::from(self.failures);
            request.metadata_mut().insert("grpc-previous-rpc-attempts", previous);
        }
        request
    }

    /// Waits until it is time for another attempt, which must be before `left` has passed. Returns the
    /// error if there is to be no other attempt.
    async fn failed(&mut self, error: CallError, left: Duration) -> Result<(), CallError> {
        let Some(delay) = self.delay(&error).filter(|delay| *delay < left) else {
            return Err(error);
        };
        sleep(delay).await;
        self.failures += 1;
        Ok(())
    }

    fn delay(&self, error: &CallError) -> Option<Duration> {
        let Terms { policy, budget, network } = self.terms;
        let again = error.is_transient()
            && (self.retry == Retry::Idempotent || error.did_not_begin())
            && budget.failed()
            && self.failures + 1 < policy.max_attempts
            && !network.is_offline();
        again.then(|| {
            error.retry_delay().unwrap_or_default() + policy.backoff.delay(self.failures, chance())
        })
    }
}
