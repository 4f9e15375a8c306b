//! The head of a call as a backend gets it: all metadata as it came, if it is valid, without what concerns
//! only the client's connection, and with the time that is left.

use std::time::Duration;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header, request, uri,
    uri::Authority,
};
use runnel_rpc::{
    deadline::{GRPC_TIMEOUT, parse_timeout},
    normalize::Format,
};
use tokio::time::Instant;
use tonic::Status;

use super::{
    authority::BackendAuthority,
    forwarded::{self, Client},
    metadata,
    upstream::Upstream,
    via::Via,
};

/// RFC 9110, section 7.6.1.
const CONNECTION_HEADERS: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What a browser says of the page that calls: <https://w3c.github.io/webappsec-fetch-metadata>.
const BROWSER_HEADERS: [HeaderName; 5] = [
    header::ORIGIN,
    HeaderName::from_static("sec-fetch-dest"),
    HeaderName::from_static("sec-fetch-mode"),
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("sec-fetch-user"),
];

/// Headers that a sender cannot have removed by naming them in `Connection`: those that every call needs, those
/// that the layers around us have set, and those that are yet to be read. All others that we add are added later.
fn is_for_all_hops(name: &HeaderName) -> bool {
    ["content-type", "host", "traceparent", "tracestate"].contains(&name.as_str())
        || name.as_str().starts_with("grpc-")
}

/// Removes the headers that concern one connection only, those that `Connection` names included.
pub(super) fn strip_connection_headers(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| !is_for_all_hops(name))
        .collect();
    for name in named.iter().chain(&CONNECTION_HEADERS) {
        headers.remove(name);
    }
}

/// What stays the same for every attempt at a call.
pub(super) struct Head {
    path: uri::PathAndQuery,
    /// The `:authority` that the client called, for a backend that is to know it.
    authority: Option<Authority>,
    headers: HeaderMap,
    deadline: Option<Instant>,
}

impl Head {
    /// The head of a call that has just come from `client`. An Err is the client's fault.
    pub(super) fn new(parts: request::Parts, client: &Client, via: &Via) -> Result<Self, Status> {
        let request::Parts { uri, mut headers, version, mut extensions, .. } = parts;
        // First, so that nobody can have removed what is added below (the kind of CVE-2022-31813).
        strip_connection_headers(&mut headers);
        let uri = uri.into_parts();
        let host = headers.remove(header::HOST);
        let authority = match uri.authority {
            None => host.and_then(|host| Authority::try_from(host.as_bytes()).ok()),
            known => known,
        };
        // RFC 9113, section 8.3.1: nobody's name is in it.
        let authority = authority.filter(|authority| !authority.as_str().contains('@'));
        // The body's length may be that of base64; the others were set by the layers around us.
        for name in [header::CONTENT_LENGTH, header::ACCEPT, header::ACCEPT_ENCODING] {
            headers.remove(name);
        }
        // Which page calls has been judged. A backend would compare it with a host that is not its own.
        for name in BROWSER_HEADERS {
            headers.remove(name);
        }
        let timeout = headers.remove(GRPC_TIMEOUT);
        let timeout = timeout.and_then(|timeout| parse_timeout(&timeout).ok());
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        metadata::make_valid(&mut headers)?;
        metadata::never_index(&mut headers);
        if let Some(format) = extensions.remove::<Format>() {
            headers.insert(header::CONTENT_TYPE, format.of_grpc());
        }
        let authority_text = authority.as_ref().map(Authority::as_str);
        forwarded::set(&mut headers, client, via.received_by(version), authority_text);
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        let path = uri.path_and_query;
        let path = path.unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
        Ok(Self { path, authority, headers, deadline })
    }

    /// The head of a probe.
    pub(super) fn of_probe(mut parts: request::Parts, via: &Via) -> Self {
        parts.headers.insert(header::VIA, via.received_by(Version::HTTP_2).clone());
        let path = parts.uri.into_parts().path_and_query;
        let path = path.unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
        Self { path, authority: None, headers: parts.headers, deadline: None }
    }

    /// The request for one attempt; `last` if no other attempt can follow.
    pub(super) fn request(&mut self, upstream: &Upstream, last: bool) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = towards(upstream, self.authority.as_ref(), self.path.clone());
        *request.headers_mut() =
            if last { std::mem::take(&mut self.headers) } else { self.headers.clone() };
        if let Some(deadline) = self.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut left = timeout_value(left);
            left.set_sensitive(true);
            request.headers_mut().insert(GRPC_TIMEOUT, left);
        }
        request
    }
}

fn towards(upstream: &Upstream, clients: Option<&Authority>, path: uri::PathAndQuery) -> Uri {
    let authority = match &upstream.authority {
        Some(BackendAuthority::Named(authority)) => authority,
        Some(BackendAuthority::Client) => clients.unwrap_or(upstream.url.authority()),
        None => upstream.url.authority(),
    };
    let mut parts = uri::Parts::default();
    parts.scheme = Some(upstream.url.scheme());
    parts.authority = Some(authority.clone());
    parts.path_and_query = Some(path);
    // All three are there, which is all that could be wrong.
    Uri::from_parts(parts).unwrap_or_default()
}

/// A duration in the finest unit that says it in eight digits.
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests>
fn timeout_value(duration: Duration) -> HeaderValue {
    let units =
        [(duration.as_nanos(), 'n'), (duration.as_micros(), 'u'), (duration.as_millis(), 'm')];
    let seconds = u128::from(duration.as_secs());
    let rest = [(seconds, 'S'), (seconds / 60, 'M'), (seconds / 3600, 'H')];
    let mut fitting = units.into_iter().chain(rest).filter(|(amount, _)| *amount < 100_000_000);
    let (amount, unit) = fitting.next().unwrap_or((99_999_999, 'H'));
    // Digits and a letter are a header value.
    HeaderValue::try_from(format!("{amount}{unit}"))
        .unwrap_or_else(|_| HeaderValue::from_static("0n"))
}

#[cfg(test)]
mod tests {
    use runnel_limits::client::TrustedProxies;

    use super::*;

    #[test]
    fn what_concerns_one_connection_is_removed_and_nothing_else() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Mine"),
            ("connection", "x-too, content-type, grpc-encoding, traceparent"),
            ("content-type", "application/grpc"),
            ("grpc-encoding", "gzip"),
            ("traceparent", "00"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("x-mine", "1"),
            ("x-too", "1"),
            ("x-stays", "1"),
            ("x-stays", "2"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        strip_connection_headers(&mut headers);
        let left = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        let mut left: Vec<_> = left.collect();
        left.sort_unstable();
        let stays = [
            ("content-type", "application/grpc"),
            ("grpc-encoding", "gzip"),
            ("traceparent", "00"),
            ("x-stays", "1"),
            ("x-stays", "2"),
        ];
        assert_eq!(left, stays);
    }

    /// h2 puts all others into the table of the connection, where they are for the calls of everybody.
    #[test]
    fn nothing_that_a_client_chose_may_be_indexed() {
        let mut request = Request::post("https://shop.example/a.B/C").version(Version::HTTP_2);
        for (name, value) in [
            ("content-type", "application/grpc"),
            ("grpc-encoding", "gzip"),
            ("grpc-timeout", "1S"),
            ("authorization", "Bearer x"),
            ("user-agent", "x"),
            ("x-mine", "1"),
            ("x-mine-bin", "AAE=, AAI"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("forwarded", "for=_mine"),
        ] {
            request = request.header(name, value);
        }
        let client = Client::of(&http::Extensions::new(), &TrustedProxies::default());
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let headers = Head::new(parts, &client, &Via::new()).unwrap().headers;
        let indexed = headers.iter().filter(|(_, value)| !value.is_sensitive());
        let mut indexed: Vec<_> = indexed.map(|(name, _)| name.as_str()).collect();
        indexed.sort_unstable();
        assert_eq!(indexed, ["content-type", "te", "via", "x-forwarded-proto"], "{headers:?}");
    }

    #[test]
    fn a_timeout_has_the_finest_unit_that_fits() {
        let value = |duration| timeout_value(duration).to_str().unwrap().to_owned();
        assert_eq!(value(Duration::ZERO), "0n");
        assert_eq!(value(Duration::from_nanos(99_999_999)), "99999999n");
        assert_eq!(value(Duration::from_millis(100)), "100000u");
        assert_eq!(value(Duration::from_secs(100)), "100000m");
        assert_eq!(value(Duration::from_hours(28)), "100800S");
        assert_eq!(value(Duration::MAX), "99999999H");
        for text in ["1n", "100000u", "100000m", "99999999S", "99999999M", "99999999H"] {
            let duration = parse_timeout(&text.parse().unwrap()).unwrap();
            assert_eq!(parse_timeout(&timeout_value(duration)).unwrap(), duration, "{text}");
        }
    }
}
