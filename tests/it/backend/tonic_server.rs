//! A backend on tonic's own server, with its default windows.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use futures_util::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use http::{Request, Response, header};
use http_body_util::StreamBody;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use tonic::{
    Status, Streaming,
    body::Body,
    server::{Grpc, NamedService, StreamingService},
    transport::{Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;
use tower::Service;

use super::{Answer, Ask};

/// A backend that serves until it is dropped.
pub(super) struct TonicServer {
    pub(super) url: String,
    _serving: AbortOnDropHandle<()>,
}

/// Serves `rich.Rich`, each method of which answers each message with one, and `test.Http`, which begins its
/// answer and reads nothing of the request.
pub(super) async fn serve() -> TonicServer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder().add_service(Echo).add_service(ReadsNothing);
    let serving = tokio::spawn(async move {
        server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
    });
    TonicServer { url, _serving: AbortOnDropHandle::new(serving) }
}

#[derive(Clone, Copy)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "rich.Rich";
}

impl StreamingService<Ask> for Echo {
    type Response = Answer;
    type ResponseStream = BoxStream<'static, Result<Answer, Status>>;
    type Future = Ready<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<Ask>>) -> Self::Future {
        let answers = request.into_inner().map(|ask| ask.map(|_| Answer::default()));
        ready(Ok(tonic::Response::new(answers.boxed())))
    }
}

impl Service<Request<Body>> for Echo {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        async move { Ok(Grpc::new(ProstCodec::default()).streaming(Self, request).await) }.boxed()
    }
}

#[derive(Clone, Copy)]
struct ReadsNothing;

impl NamedService for ReadsNothing {
    const NAME: &'static str = "test.Http";
}

impl Service<Request<Body>> for ReadsNothing {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // What is dropped would be read and thrown away.
        let nothing = stream::pending::<Result<_, Status>>().map(move |frame| {
            let _ = &request;
            frame
        });
        let mut response = Response::new(Body::new(StreamBody::new(nothing)));
        let grpc = header::HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(header::CONTENT_TYPE, grpc);
        ready(Ok(response))
    }
}
