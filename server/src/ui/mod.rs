//! The page: the one that the program has, or another, or none. How a page is served
//! is in [`runnel_page`]; here is what is asked on this port and is no file of it.

use std::future::{Future, ready};

use futures_util::future::{Either, FutureExt as _};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use runnel_limits::client::Encrypted;
use runnel_page::{FolderError, Page};
use runnel_rpc::access::{authority, is_public_name};
use tonic::body::Body;

use crate::config::{PageChoice, PageConfig};

/// The paths that probes and scrapers of Kubernetes and Prometheus ask for. Such a request on this port was
/// meant for the admin port, and a probe would take the page for "healthy".
const PROBES: [&str; 4] = ["healthz", "livez", "metrics", "readyz"];

/// A year, the least that lists of such hosts take. Other hosts of the domain are not ours to bind.
const HSTS: &str = "max-age=31536000";

/// What answers requests that are no calls.
#[derive(Clone, Debug)]
pub(crate) struct Ui(Option<Page>);

impl Ui {
    /// Fails if there is no page where the configuration says. `embedded` is the page of the program itself.
    pub(crate) fn new(config: &PageConfig, embedded: Option<Page>) -> Result<Self, FolderError> {
        let page = match &config.page {
            PageChoice::Embedded => embedded,
            PageChoice::Folder(path) => Some(Page::in_folder(path)?),
            PageChoice::None => None,
        };
        Ok(Self(page.map(|page| page.with_policy(config.page_csp.clone()))))
    }

    /// Answers a request for the page or one of its files.
    pub(crate) fn respond<B>(
        &self,
        request: &Request<B>,
    ) -> impl Future<Output = Response<Body>> + Send + use<B> {
        let hsts = is_to_come_by_tls(request).then_some(HeaderValue::from_static(HSTS));
        let response = match (&self.0, without_a_page(request)) {
            (None, answer) => Either::Left(ready(answer.unwrap_or_else(|| no_page(request)))),
            (Some(_), Some(answer)) => Either::Left(ready(answer)),
            (Some(page), None) => {
                Either::Right(page.respond(request).map(|page| page.map(Body::new)))
            }
        };
        response.map(move |mut response| {
            if let Some(hsts) = hsts {
                response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, hsts);
            }
            response
        })
    }
}

/// The answer to what no page stands in for.
fn without_a_page<B>(request: &Request<B>) -> Option<Response<Body>> {
    if asks_for_a_websocket(request.headers()) {
        let words = "there are no WebSockets here: a stream is the answer to a call of gRPC-Web\n";
        return Some(plain(StatusCode::BAD_REQUEST, words));
    }
    let path = request.uri().path().trim_start_matches('/');
    if path.split('/').next().is_some_and(|first| PROBES.contains(&first)) {
        let words = "/livez, /readyz and /metrics are on the admin port, --admin-listen\n";
        return Some(plain(StatusCode::NOT_FOUND, words));
    }
    None
}

/// The answer of a server that has no page.
fn no_page<B>(request: &Request<B>) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "there is no page here\n");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/" => plain(
            StatusCode::OK,
            "This is Runnel. It answers calls of gRPC and gRPC-Web, and has no page (--page none).\n",
        ),
        _ => plain(StatusCode::NOT_FOUND, "there is no page here\n"),
    }
}

/// Whether a request wants to turn into a WebSocket (RFC 6455 section 4.2.1).
fn asks_for_a_websocket(headers: &HeaderMap) -> bool {
    let protocols = headers.get_all(header::UPGRADE).iter().filter_map(|line| line.to_str().ok());
    let mut protocols = protocols.flat_map(|line| line.split(','));
    protocols.any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

/// Only over TLS may a browser be told to come by TLS alone (RFC 6797 section 7.2), and only of a name that
/// is ours: it holds for all ports, so a developer who has once used `https://localhost` could no longer
/// open any `http://localhost`.
fn is_to_come_by_tls<B>(request: &Request<B>) -> bool {
    let is_encrypted = request.extensions().get::<Encrypted>().is_some();
    let is_ours = || authority(request).is_some_and(|called| is_public_name(called.host()));
    is_encrypted && is_ours()
}

/// Headers as the page's answers have them, of a page that needs nothing.
fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::new(text.to_owned()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
