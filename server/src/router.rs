//! Who answers: an RPC goes through the layers of [`runnel_rpc`] to a service, anything else to the page.

use std::{
    convert::Infallible,
    future::ready,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::{BoxFuture, Either, FutureExt as _};
use http::{HeaderMap, Method, Request, Response, header};
use runnel_rpc::{Calls, access::Hosts, service_name};
use runnel_wire::CONTENT_TYPE_PREFIX;
use tonic::body::Body;
use tower::Service;

use crate::{
    prefix::{Prefix, Prefixed},
    ui::Ui,
};

/// The whole of what the public port answers.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    services: Option<Arc<[&'static str]>>,
    calls: Calls,
    hosts: Hosts,
    ui: Ui,
    prefix: Option<Prefix>,
}

impl Router {
    /// `services` are the names of those there are; None if that is not for us to know. Whether a call
    /// is for one of `hosts` at all, `calls` looks itself.
    pub(crate) fn new(
        services: Option<&[&'static str]>,
        calls: Calls,
        hosts: Hosts,
        ui: Ui,
        prefix: Option<Prefix>,
    ) -> Self {
        Self { services: services.map(Into::into), calls, hosts, ui, prefix }
    }

    /// A path of a service is an RPC whatever its content type and verb, so that a wrong one is told so.
    /// Any other path is an RPC if the request says it is: an unknown method must be UNIMPLEMENTED, never a
    /// page.
    fn is_call<B>(&self, request: &Request<B>) -> bool {
        let path = request.uri().path();
        is_grpc(request.headers())
            || is_preflight(request)
            || names_a_method(path)
            || match &self.services {
                Some(services) => service_name(path).is_some_and(|name| services.contains(&name)),
                None => request.method() == Method::POST && could_name_a_method(path),
            }
    }
}

impl Service<Request<Body>> for Router {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<
        <Calls as Service<Request<Body>>>::Future,
        BoxFuture<'static, Result<Response<Body>, Infallible>>,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.calls, cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let prefixed =
            self.prefix.as_ref().map_or(Prefixed::Not, |prefix| prefix.take(&mut request));
        if self.is_call(&request) {
            return Either::Left(self.calls.call(request));
        }
        let answer = match (self.hosts.misdirected(&request), prefixed) {
            (Some(refusal), _) => ready(refusal.map(Body::new)).boxed(),
            (None, Prefixed::WithoutSlash(root)) => ready(root.map(Body::new)).boxed(),
            (None, Prefixed::Not) => self.ui.respond(&request).boxed(),
        };
        Either::Right(answer.map(Ok).boxed())
    }
}

/// Whether a browser asks whether it may send a POST. The page takes none, so it is a call that it means,
/// and the answer to that has the words. (<https://fetch.spec.whatwg.org/#cors-preflight-fetch>)
fn is_preflight<B>(request: &Request<B>) -> bool {
    let method = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD);
    request.method() == Method::OPTIONS && method.is_some_and(|method| method == "POST")
}

/// Whether a path ends like that of a method whose service is in a package: `/shop.v1.Catalogue/Get`. A
/// place in the page has no such name, and a person who GETs a method, to see whether it is there, must
/// not get the page.
fn names_a_method(path: &str) -> bool {
    let is_identifier = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let mut names = path.rsplit('/');
    let (method, service) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
    is_identifier(method) && service.contains('.') && service.split('.').all(is_identifier)
}

/// Whether a path has the two parts that name a method, of a service in no package as well: what else is
/// sent there by POST would be refused by the page with a word about GET.
fn could_name_a_method(path: &str) -> bool {
    let names = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    names.is_some_and(|(_, method)| !method.contains('/'))
}

/// Whether a request calls itself gRPC or gRPC-Web, of whatever subtype.
fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|content_type| {
        content_type
            .as_bytes()
            .get(..CONTENT_TYPE_PREFIX.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(CONTENT_TYPE_PREFIX))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_of_packages_are_told_from_places_in_the_page() {
        for method in
            ["/shop.v1.Catalogue/Get", "/api.Api/getAll", "/v1/grpc/shop.v1.Catalogue/Get"]
        {
            assert!(names_a_method(method), "{method}");
        }
        for place in
            ["/", "/stream", "/stream/42", "/v1.2/stream", "/a.b/", "/a.b/c.js", "/.well-known/x"]
        {
            assert!(!names_a_method(place), "{place}");
        }
    }
}
