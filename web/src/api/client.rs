//! [`ApiClient`]: each RPC of the contract as an async function.

use runnel_protos::api::api_client::ApiClient as Generated;
use runnel_protos::api::{ApiRequest, HelloRequest, Item};
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};

use super::{ApiError, ItemStream};

/// A client of `api.Api` over the transport `T`.
///
/// A clone is cheap and shares the transport's connections. Dropping the future of a call, or the
/// stream it gave, cancels the call.
#[derive(Debug, Clone)]
pub struct ApiClient<T> {
    generated: Generated<T>,
}

impl<T> ApiClient<T>
where
    T: GrpcService<Body> + Clone,
    T::Error: Into<StdError>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    /// A client that sends its calls through `transport`. Nothing is sent yet.
    pub fn new(transport: T) -> Self {
        Self { generated: Generated::new(transport) }
    }

    /// The server's greeting for `name`: `Hello {name}!`. Any name is taken, the empty one too.
    pub async fn say_hello(&self, name: &str) -> Result<String, ApiError> {
        let request = HelloRequest { name: name.to_owned() };
        let answer = self.generated.clone().say_hello(request).await?;
        Ok(answer.into_inner().message)
    }

    /// The first `length` items, in one message. A negative `length` is refused, and so is one
    /// whose items pass the 4 MiB a message may have; [`Self::get_stream`] has no such limit.
    pub async fn get_all(&self, length: i32) -> Result<Vec<Item>, ApiError> {
        let request = ApiRequest { length, after: 0 };
        let answer = self.generated.clone().get_all(request).await?;
        Ok(answer.into_inner().items)
    }

    /// The first `length` items, one by one, as they arrive. It resolves when the server has begun
    /// to answer, and fails if the server refuses outright; the stream gives a later failure as its
    /// last item.
    pub async fn get_stream(&self, length: i32) -> Result<ItemStream, ApiError> {
        let request = ApiRequest { length, after: 0 };
        let answer = self.generated.clone().get_stream(request).await?;
        Ok(ItemStream::new(answer.into_inner()))
    }
}
