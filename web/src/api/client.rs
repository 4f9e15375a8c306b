//! [`ApiClient`]: each RPC of the contract as an async function.

use std::sync::Arc;
use std::time::Duration;

use runnel_protos::api::api_client::ApiClient as Generated;
use runnel_protos::api::{ApiRequest, HelloRequest, Item};
use tokio::sync::watch;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use super::clock::{Instant, chance, sleep, within};
use super::network::Network;
use super::{ApiError, ItemStream, Policy, RetryBudget, Transport};
use runnel_client::transport::Unary;

/// Tokens of the retry budget, and thousandths that a success gives back. gRPC's own example.
const BUDGET: (u32, u32) = (10, 100);

/// A client of `api.Api` over the transport `T`.
///
/// A clone is cheap and shares the transport's connections and the retry budget. Dropping the future
/// of a call, or the stream it gave, cancels the call.
#[derive(Debug, Clone)]
pub struct ApiClient<T> {
    generated: Generated<T>,
    policy: Arc<Policy>,
    budget: Arc<RetryBudget>,
    network: Network,
}

impl<T: Transport> ApiClient<T> {
    /// A client that sends its calls through `transport`. Nothing is sent yet.
    pub fn new(transport: T) -> Self {
        Self {
            generated: Generated::new(transport),
            policy: Arc::default(),
            budget: Arc::new(RetryBudget::new(BUDGET.0, BUDGET.1)),
            network: Network::unknown(),
        }
    }

    /// The same with a policy of one's own.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy: Arc::new(policy), ..self }
    }

    /// The same, told about the network. While the channel says `false` there is none, and nothing is
    /// tried again; each `true` that is sent says that now is the moment to, and ends every wait.
    #[must_use]
    pub fn with_network(self, online: watch::Receiver<bool>) -> Self {
        Self { network: Network::told_by(online), ..self }
    }

    /// The server's greeting for `name`: `Hello {name}!`. Any name is taken, the empty one too.
    pub async fn say_hello(&self, name: &str) -> Result<String, ApiError> {
        let message = HelloRequest { name: name.to_owned() };
        let call =
            |mut client: Generated<T>, request| async move { client.say_hello(request).await };
        Ok(self.unary(message, call).await?.message)
    }

    /// The first `length` items, in one message. A negative `length` is refused, and so is one
    /// whose items pass the 4 MiB a message may have; [`Self::get_stream`] has no such limit.
    pub async fn get_all(&self, length: i32) -> Result<Vec<Item>, ApiError> {
        self.get_page(length, 0).await
    }

    /// The `length` items that come after the item `after`, in one message.
    ///
    /// A server of the original contract does not know `after` and starts with item 1. It is asked
    /// for the page and all before it, of which the page is kept.
    pub async fn get_page(&self, length: i32, after: i32) -> Result<Vec<Item>, ApiError> {
        let items = self.items(length, after).await?;
        if after <= 0 || items.first().is_none_or(|first| first.id != 1) {
            return Ok(items);
        }
        let all = self.items(length.saturating_add(after), 0).await?;
        Ok(all.into_iter().filter(|item| item.id > after).collect())
    }

    /// The first `length` items, one by one, as they arrive; see [`ItemStream`]. Nothing is sent yet.
    pub fn stream(&self, length: i32) -> ItemStream<T> {
        let Self { generated, policy, budget, network } = self.clone();
        ItemStream::new(generated, policy, budget, network, length)
    }

    /// The same, when the server has begun to answer.
    pub async fn get_stream(&self, length: i32) -> Result<ItemStream<T>, ApiError> {
        let mut items = self.stream(length);
        items.open().await?;
        Ok(items)
    }

    async fn items(&self, length: i32, after: i32) -> Result<Vec<Item>, ApiError> {
        let call = |mut client: Generated<T>, request| async move { client.get_all(request).await };
        Ok(self.unary(ApiRequest { length, after }, call).await?.items)
    }

    /// Makes a call, and makes it again where that may help, all within the deadline.
    async fn unary<M, A, F>(
        &self,
        message: M,
        call: impl Fn(Generated<T>, Request<M>) -> F,
    ) -> Result<A, ApiError>
    where
        M: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let began = Instant::now();
        let left = || self.policy.unary_deadline.saturating_sub(began.elapsed());
        let mut failures = 0;
        loop {
            let mut request = Request::new(message.clone());
            request.set_timeout(left());
            request.extensions_mut().insert(Unary);
            if failures > 0 {
                let previous = MetadataValue::from(failures);
                request.metadata_mut().insert("grpc-previous-rpc-attempts", previous);
            }
            let error = match within(left(), call(self.generated.clone(), request)).await {
                Some(Ok(answer)) => {
                    self.budget.succeeded();
                    return Ok(answer.into_inner());
                }
                Some(Err(status)) => ApiError::from(status),
                None => {
                    let message = format!("no answer within {:?}", self.policy.unary_deadline);
                    ApiError::TimedOut { message }
                }
            };
            let delay = self.delay(&error, failures).filter(|delay| *delay < left());
            let Some(delay) = delay else {
                return Err(error);
            };
            sleep(delay).await;
            failures += 1;
        }
    }

    /// How long to wait before a unary call is made again; `None` if it is not.
    fn delay(&self, error: &ApiError, failures: u32) -> Option<Duration> {
        let again = error.is_transient()
            && self.budget.failed()
            && failures + 1 < self.policy.max_attempts
            && !self.network.is_offline();
        again.then(|| {
            error.retry_delay().unwrap_or_default() + self.policy.backoff.delay(failures, chance())
        })
    }
}
