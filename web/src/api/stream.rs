//! [`ItemStream`]: the items of `getStream`, from as many calls as it takes.

use runnel_client::{ResumableStream, StreamingCall, Transport};
use runnel_protos::api::api_client::ApiClient as Generated;
use runnel_protos::api::{ApiRequest, Item};
use tonic::{Request, Response, Status, Streaming};

use super::position::Position;

/// The items `1..=length`, each once and in order, however often the connection breaks on the way.
pub type ItemStream<T> = ResumableStream<Position, GetStream<T>>;

/// `getStream`, over the transport `T`.
#[derive(Debug, Clone)]
pub struct GetStream<T>(pub(super) Generated<T>);

impl<T: Transport> StreamingCall<ApiRequest> for GetStream<T> {
    type Message = Item;

    async fn call(
        &mut self,
        request: Request<ApiRequest>,
    ) -> Result<Response<Streaming<Item>>, Status> {
        self.0.get_stream(request).await
    }
}
