//! A native client of gRPC-Web, to put under the page's own client.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, Uri, header, uri};
use http_body::Frame;
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tonic::body::Body;
use tonic_web::{GrpcWebCall, GrpcWebClientLayer};
use tower::{ServiceBuilder, ServiceExt as _, util::BoxCloneSyncService};

/// Calls over gRPC-Web binary, HTTP/1.1, as a browser would.
pub type GrpcWebTransport =
    BoxCloneSyncService<Request<Body>, Response<Answer>, hyper_util::client::legacy::Error>;

/// A gRPC-Web transport to the server at `url` (scheme and authority, no path).
pub fn grpc_web(url: &str) -> GrpcWebTransport {
    let server: Uri = url.parse().expect("a URL");
    let http: Client<HttpConnector, GrpcWebCall<Body>> =
        Client::builder(TokioExecutor::new()).build_http();
    let service = ServiceBuilder::new()
        .map_request(move |request: Request<Body>| towards(&server, request))
        .map_response(|response: Response<_>| response.map(Answer))
        .layer(GrpcWebClientLayer::new())
        .service(http.map_response(without_pages));
    BoxCloneSyncService::new(service)
}

/// The generated client knows paths only; an HTTP client wants the server too.
fn towards(server: &Uri, mut request: Request<Body>) -> Request<Body> {
    let mut parts = uri::Parts::from(server.clone());
    parts.path_and_query = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from_parts(parts).expect("scheme, authority and path are a URI");
    request
}

type GrpcWebBody = Either<Incoming, Empty<Bytes>>;

/// Empties what is no gRPC-Web, such as a proxy's error page: tonic-web would read it as messages. Of an
/// answer without any, tonic makes the code that its HTTP status stands for.
fn without_pages(response: Response<Incoming>) -> Response<GrpcWebBody> {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let is_grpc =
        content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    response.map(|body| if is_grpc { Either::Left(body) } else { Either::Right(Empty::new()) })
}

/// The body of an answer. Where its connection breaks, tonic-web gives a status, as if a server had
/// sent it; this gives an error of the connection.
pub struct Answer(GrpcWebCall<GrpcWebBody>);

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let broken = |status: tonic::Status| io::Error::other(status.message().to_owned());
        Pin::new(&mut self.0).poll_frame(cx).map_err(broken)
    }
}

// What the page's client asks of a transport, checked here rather than at each use.
const _: fn() = || {
    fn is_transport<T: runnel_client::Transport>() {}
    is_transport::<GrpcWebTransport>();
};
