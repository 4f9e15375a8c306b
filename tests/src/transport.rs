//! A native client of gRPC-Web, to put under the page's own client.

use bytes::Bytes;
use http::{Request, Response, Uri, uri};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tonic::{body::Body, client::GrpcService};
use tonic_web::{GrpcWebCall, GrpcWebClientLayer};
use tower::{ServiceBuilder, util::BoxCloneSyncService};

/// Calls over gRPC-Web binary, HTTP/1.1, as a browser would.
pub type GrpcWebTransport =
    BoxCloneSyncService<Request<Body>, Response<GrpcWebCall<hyper::body::Incoming>>, Error>;

type Error = hyper_util::client::legacy::Error;

/// A gRPC-Web transport to the server at `url` (scheme and authority, no path).
pub fn grpc_web(url: &str) -> GrpcWebTransport {
    let server: Uri = url.parse().expect("a URL");
    let http: Client<HttpConnector, GrpcWebCall<Body>> =
        Client::builder(TokioExecutor::new()).build_http();
    let service = ServiceBuilder::new()
        .map_request(move |request: Request<Body>| towards(&server, request))
        .layer(GrpcWebClientLayer::new())
        .service(http);
    BoxCloneSyncService::new(service)
}

/// The generated client knows paths only; an HTTP client wants the server too.
fn towards(server: &Uri, mut request: Request<Body>) -> Request<Body> {
    let mut parts = uri::Parts::from(server.clone());
    parts.path_and_query = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from_parts(parts).expect("scheme, authority and path are a URI");
    request
}

// What the page's client asks of a transport, checked here rather than at each use.
const _: fn() = || {
    fn is_transport<T: GrpcService<Body, ResponseBody: http_body::Body<Data = Bytes>> + Clone>() {}
    is_transport::<GrpcWebTransport>();
};
