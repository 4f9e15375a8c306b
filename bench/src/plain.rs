//! The obvious tonic server: what one writes after reading tonic's and tonic-web's first examples,
//! with every default left alone.

use std::pin::Pin;

use anyhow::Result;
use futures_util::stream;
use runnel_protos::api::{
    ApiRequest, Hello, HelloRequest, Item, Items,
    api_server::{Api, ApiServer},
};
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};
use tonic_web::GrpcWebLayer;

/// What makes a stream of an iterator. Both are one line; what hyper does with them differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `tokio_stream::iter`, as tonic's examples have it. It pauses every 32 items, so that writes are
    /// small: much CPU, but little in the buffers.
    Pausing,
    /// `futures_util::stream::iter`, which never pauses: less CPU, and every buffer is filled.
    Unpausing,
}

/// Serves the contract on `listener` for ever.
pub async fn serve(listener: TcpListener, source: Source) -> Result<()> {
    Server::builder()
        .accept_http1(true)
        .layer(GrpcWebLayer::new())
        .add_service(ApiServer::new(Plain(source)))
        // `Server::serve` would bind the address itself, to TCP_NODELAY by default.
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}

struct Plain(Source);

#[tonic::async_trait]
impl Api for Plain {
    async fn say_hello(&self, request: Request<HelloRequest>) -> Result<Response<Hello>, Status> {
        let HelloRequest { name } = request.into_inner();
        Ok(Response::new(Hello { message: format!("Hello {name}!") }))
    }

    async fn get_all(&self, request: Request<ApiRequest>) -> Result<Response<Items>, Status> {
        Ok(Response::new(Items { items: items(*request.get_ref())?.collect() }))
    }

    type getStreamStream = Pin<Box<dyn Stream<Item = Result<Item, Status>> + Send>>;

    async fn get_stream(
        &self,
        request: Request<ApiRequest>,
    ) -> Result<Response<Self::getStreamStream>, Status> {
        let items = items(*request.get_ref())?.map(Ok);
        Ok(Response::new(match self.0 {
            Source::Pausing => Box::pin(tokio_stream::iter(items)),
            Source::Unpausing => Box::pin(stream::iter(items)),
        }))
    }
}

fn items(request: ApiRequest) -> Result<impl Iterator<Item = Item> + Send, Status> {
    let ApiRequest { length, after } = request;
    let last = after.checked_add(length);
    let last = last.ok_or_else(|| Status::invalid_argument("length passes the last item"))?;
    Ok((after + 1..=last).map(|id| Item { id, name: format!("name {id}") }))
}
