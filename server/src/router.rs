//! Who answers: an RPC goes through [`crate::rpc`]'s layers to a service, anything else to the page.

use std::{
    convert::Infallible,
    future::ready,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Body as AxumBody;
use futures_util::future::Either;
use http::{HeaderMap, Method, Request, Response, header};
use tonic::body::Body;
use tower::Service;

use crate::{
    access::Hosts,
    rpc::{self, Refused, Rpc},
    services::service_name,
    ui,
};

/// The whole of what the public port answers.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    services: Option<Arc<[&'static str]>>,
    rpc: Rpc,
    hosts: Hosts,
}

impl Router {
    /// `services` are the names of those there are; None if that is not for us to know. Whether a call
    /// is for one of `hosts` at all, `rpc` looks itself.
    pub(crate) fn new(services: Option<&[&'static str]>, rpc: Rpc, hosts: Hosts) -> Self {
        Self { services: services.map(Into::into), rpc, hosts }
    }

    /// A path of a service is an RPC whatever its content type, so that a wrong one is told so. Any other
    /// path is an RPC if it says it is: an unknown method must be UNIMPLEMENTED, never a page.
    fn is_call<B>(&self, request: &Request<B>) -> bool {
        is_grpc(request.headers())
            || match &self.services {
                Some(services) => {
                    service_name(request.uri().path()).is_some_and(|name| services.contains(&name))
                }
                None => looks_like_a_call(request),
            }
    }
}

impl Service<Request<AxumBody>> for Router {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<<Rpc as Service<Request<AxumBody>>>::Future, Refused<Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.rpc.poll_ready(cx)
    }

    fn call(&mut self, request: Request<AxumBody>) -> Self::Future {
        if self.is_call(&request) {
            return Either::Left(self.rpc.call(request));
        }
        let page = self.hosts.refusal(&request).unwrap_or_else(|| ui::respond(&request));
        Either::Right(ready(Ok(page.map(Body::new))))
    }
}

/// Whether a request might be for a method, were its content type another one: the page takes no POST.
/// Before it a browser may ask whether it may send it (a preflight), and that has no content type.
fn looks_like_a_call<B>(request: &Request<B>) -> bool {
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
