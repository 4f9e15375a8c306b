//! Who answers: an RPC goes through [`crate::rpc`]'s layers to a service, anything else to the page.

use axum::{Router, body::Body, extract::Request};
use http::{HeaderMap, Method, header};
use tower::ServiceExt as _;

use crate::{
    access::Hosts,
    rpc::{self, Rpc},
    ui,
};

/// The whole of what the public port answers. `services` are the names of those there are; None if that
/// is not for us to know. Whether it is for one of `hosts` at all, `rpc` looks itself.
///
/// A path of a service is an RPC whatever its content type, so that a wrong one is told so. Any other
/// path is an RPC if it says it is: an unknown method must be UNIMPLEMENTED, never a page.
pub(crate) fn router(services: Option<&[&str]>, rpc: Rpc, hosts: Hosts) -> Router {
    let mut router = Router::new();
    for name in services.unwrap_or_default() {
        router = router.route_service(&format!("/{name}/{{*method}}"), rpc.clone());
    }
    let any_service = services.is_none();
    router.fallback(async move |request: Request| {
        if is_grpc(request.headers()) || any_service && looks_like_a_call(&request) {
            rpc.oneshot(request).await.map(|response| response.map(Body::new))
        } else {
            Ok(hosts.refusal(&request).unwrap_or_else(|| ui::respond(&request)))
        }
    })
}

/// Whether a request might be for a method, were its content type another one: the page takes no POST.
/// Before it a browser may ask whether it may send it (a preflight), and that has no content type.
fn looks_like_a_call(request: &Request) -> bool {
    let path = request.uri().path();
    let names = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    let method = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD);
    let is_post = request.method() == Method::POST
        || request.method() == Method::OPTIONS && method.is_some_and(|method| method == "POST");
    is_post && names.is_some_and(|(_, method)| !method.contains('/'))
}

/// Whether a request calls itself gRPC or gRPC-Web, of whatever subtype.
fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|content_type| {
        content_type
            .as_bytes()
            .get(..rpc::CONTENT_TYPE_PREFIX.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(rpc::CONTENT_TYPE_PREFIX))
    })
}
