//! [`ApiClient`]: each RPC of the contract as an async function.

use runnel_client::{CallError, Calls, Policy, Retry, Transport, watch};
use runnel_protos::api::api_client::ApiClient as Generated;
use runnel_protos::api::{ApiRequest, HelloRequest, Item};

use super::position::Position;
use super::stream::{GetStream, ItemStream};

/// A client of `api.Api` over the transport `T`.
///
/// A clone is cheap and shares the transport's connections and the retry budget. Dropping the future of a
/// call, or the stream that it returned, cancels the call.
#[derive(Debug, Clone)]
pub struct ApiClient<T> {
    generated: Generated<T>,
    calls: Calls,
}

impl<T: Transport> ApiClient<T> {
    /// A client that sends its calls through `transport`. Nothing is sent yet.
    pub fn new(transport: T) -> Self {
        Self { generated: Generated::new(transport), calls: Calls::new() }
    }

    /// The same with another policy.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { calls: self.calls.with_policy(policy), ..self }
    }

    /// The same, with news about the network: see [`Calls::with_network`].
    #[must_use]
    pub fn with_network(self, online: watch::Receiver<bool>) -> Self {
        Self { calls: self.calls.with_network(online), ..self }
    }

    /// The server's greeting for `name`: `Hello {name}!`. Any name is accepted, also an empty one.
    pub async fn say_hello(&self, name: &str) -> Result<String, CallError> {
        let message = HelloRequest { name: name.to_owned() };
        let call = async |request| self.generated.clone().say_hello(request).await;
        let hello = self.calls.unary(Retry::Idempotent, message, call).await?;
        Ok(hello.into_inner().message)
    }

    /// The first `length` items, in one message. The server refuses a negative `length`, and items that
    /// exceed the 4 MiB of a message; [`Self::get_stream`] has no such limit.
    pub async fn get_all(&self, length: i32) -> Result<Vec<Item>, CallError> {
        self.get_page(length, 0).await
    }

    /// The `length` items that come after the item `after`, in one message.
    ///
    /// A server of the original contract does not know `after` and starts with item 1. The client then
    /// requests all items up to the last one, and keeps those after `after`.
    pub async fn get_page(&self, length: i32, after: i32) -> Result<Vec<Item>, CallError> {
        let items = self.items(length, after).await?;
        if after <= 0 || items.first().is_none_or(|first| first.id != 1) {
            return Ok(items);
        }
        let all = self.items(length.saturating_add(after), 0).await?;
        Ok(all.into_iter().filter(|item| item.id > after).collect())
    }

    /// The first `length` items, one by one, as they arrive; see [`ItemStream`]. Nothing is sent yet.
    pub fn stream(&self, length: i32) -> ItemStream<T> {
        self.calls.resume(Position::new(length), GetStream(self.generated.clone()))
    }

    /// The same, once the server has begun its response.
    pub async fn get_stream(&self, length: i32) -> Result<ItemStream<T>, CallError> {
        let mut items = self.stream(length);
        items.open().await?;
        Ok(items)
    }

    async fn items(&self, length: i32, after: i32) -> Result<Vec<Item>, CallError> {
        let call = async |request| self.generated.clone().get_all(request).await;
        let items = self.calls.unary(Retry::Idempotent, ApiRequest { length, after }, call).await?;
        Ok(items.into_inner().items)
    }
}
