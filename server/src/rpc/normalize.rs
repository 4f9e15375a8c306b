//! One spelling of what a call says of itself, before `GrpcWebLayer` matches it to the letter.
//!
//! `Application/gRPC-Web+proto; charset=utf-8` is what proxies make of a content type; here it becomes
//! the plain one. What cannot be a call is refused with a plain HTTP status: such a peer does not
//! speak gRPC, so a gRPC status would not reach it.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use tonic::body::Body;

/// Which of the three protocols a call came in by; found in the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `application/grpc`, HTTP/2 only.
    Grpc,
    /// `application/grpc-web`, binary.
    GrpcWeb,
    /// `application/grpc-web-text`, base64.
    GrpcWebText,
}

impl Protocol {
    /// The content type of the protocol, in the one spelling the layers below know.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Grpc => "application/grpc+proto",
            Self::GrpcWeb => "application/grpc-web+proto",
            Self::GrpcWebText => "application/grpc-web-text+proto",
        }
    }

    /// A short name, for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc-web",
            Self::GrpcWebText => "grpc-web-text",
        }
    }

    /// The protocol of a media type, parameters (`; charset=…`) and case ignored. The only message
    /// format is protobuf: `+json` and the like are no protocol of ours.
    fn from_media_type(value: &str) -> Option<Self> {
        let essence = value.split_once(';').map_or(value, |(essence, _)| essence).trim();
        [Self::Grpc, Self::GrpcWeb, Self::GrpcWebText].into_iter().find(|protocol| {
            let full = protocol.content_type();
            [full, full.trim_end_matches("+proto")]
                .iter()
                .any(|name| essence.eq_ignore_ascii_case(name))
        })
    }

    /// [`Self::content_type`], made when this was compiled: every call gets two of them.
    const fn header_value(self) -> HeaderValue {
        const GRPC: HeaderValue = HeaderValue::from_static(Protocol::Grpc.content_type());
        const WEB: HeaderValue = HeaderValue::from_static(Protocol::GrpcWeb.content_type());
        const TEXT: HeaderValue = HeaderValue::from_static(Protocol::GrpcWebText.content_type());
        match self {
            Self::Grpc => GRPC,
            Self::GrpcWeb => WEB,
            Self::GrpcWebText => TEXT,
        }
    }
}

/// Why a request is no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Method,
    ContentType,
    HttpVersion,
}

impl Refusal {
    pub(super) fn into_response(self) -> Response<Body> {
        let (status, why) = match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "an RPC is called by POST\n"),
            Self::ContentType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "an RPC is called with application/grpc, application/grpc-web or \
                 application/grpc-web-text\n",
            ),
            Self::HttpVersion => (
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "gRPC needs HTTP/2; over HTTP/1.1 call with application/grpc-web\n",
            ),
        };
        let mut response = Response::new(Body::new(http_body_util::Full::from(why)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if self == Self::Method {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

/// Spells what a call says of itself as the layers within know it.
pub(crate) fn normalize<B>(request: &mut Request<B>) -> Result<(), Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::Method);
    }
    let protocol = header_text(request.headers(), &header::CONTENT_TYPE)
        .and_then(Protocol::from_media_type)
        .ok_or(Refusal::ContentType)?;
    if protocol == Protocol::Grpc && request.version() < Version::HTTP_2 {
        return Err(Refusal::HttpVersion);
    }
    let answer = answer_protocol(request.headers(), protocol);
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, protocol.header_value());
    headers.insert(header::ACCEPT, answer.header_value());
    request.extensions_mut().insert(protocol);
    Ok(())
}

/// In which protocol a gRPC-Web call wants its answer: the first one that `accept` names, and the
/// call's own when it names none (browsers then send `*/*`).
fn answer_protocol(headers: &HeaderMap, call: Protocol) -> Protocol {
    header_text(headers, &header::ACCEPT)
        .and_then(|accept| accept.split(',').find_map(Protocol::from_media_type))
        .filter(|answer| *answer != Protocol::Grpc)
        .unwrap_or(call)
}

fn header_text<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, content_type: &str, accept: &str) -> Request<()> {
        let mut request = Request::post("/api.Api/getAll").version(version);
        for (name, value) in [(header::CONTENT_TYPE, content_type), (header::ACCEPT, accept)] {
            if !value.is_empty() {
                request = request.header(name, value);
            }
        }
        request.body(()).unwrap()
    }

    fn content_type_and_accept(content_type: &str, accept: &str) -> (String, String) {
        let mut request = request(Version::HTTP_11, content_type, accept);
        normalize(&mut request).unwrap();
        let text = |name| header_text(request.headers(), &name).unwrap().to_owned();
        (text(header::CONTENT_TYPE), text(header::ACCEPT))
    }

    #[test]
    fn what_proxies_make_of_a_content_type_is_understood() {
        for spelling in [
            "application/grpc-web+proto",
            "application/grpc-web",
            "application/grpc-web+proto; charset=utf-8",
            "application/grpc-web+proto;charset=UTF-8",
            "Application/gRPC-Web+Proto",
        ] {
            let plain = "application/grpc-web+proto".to_owned();
            assert_eq!(content_type_and_accept(spelling, ""), (plain.clone(), plain));
        }
    }

    #[test]
    fn a_text_call_is_answered_in_text_unless_it_asks_for_binary() {
        let answer = |accept| content_type_and_accept("application/grpc-web-text", accept).1;
        let (text, binary) = (Protocol::GrpcWebText, Protocol::GrpcWeb);
        assert_eq!(answer(""), text.content_type());
        assert_eq!(answer("*/*"), text.content_type());
        assert_eq!(answer("application/grpc-web-text, */*"), text.content_type());
        assert_eq!(answer("application/grpc-web"), binary.content_type());
    }

    #[test]
    fn what_is_no_call_is_refused() {
        let refusal =
            |version, content_type| normalize(&mut request(version, content_type, "")).unwrap_err();
        for content_type in ["", "application/json", "application/grpc-web+json", "image/jpeg"] {
            assert_eq!(refusal(Version::HTTP_2, content_type), Refusal::ContentType);
        }
        assert_eq!(refusal(Version::HTTP_11, "application/grpc"), Refusal::HttpVersion);

        let mut get = request(Version::HTTP_2, "application/grpc", "");
        *get.method_mut() = Method::GET;
        let response = normalize(&mut get).unwrap_err().into_response();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[header::ALLOW], "POST");
    }
}
