//! One spelling of what a call says of itself, before `GrpcWebLayer` matches it to the letter.
//!
//! `Application/gRPC-Web+proto; charset=utf-8` is what proxies make of a content type; here it becomes
//! the plain one. What cannot be a call is refused with a plain HTTP status: such a peer does not
//! speak gRPC, so a gRPC status would not reach it.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use tonic::body::Body;

/// The protocol of a call.
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

    /// A short name, for logs and metrics: `grpc`, `grpc-web`, `grpc-web-text`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc-web",
            Self::GrpcWebText => "grpc-web-text",
        }
    }

    /// The media type without a format.
    const fn media_type(self) -> &'static str {
        match self {
            Self::Grpc => "application/grpc",
            Self::GrpcWeb => "application/grpc-web",
            Self::GrpcWebText => "application/grpc-web-text",
        }
    }

    /// [`Self::content_type`], made when this was compiled: every call gets two of them.
    pub(super) const fn header_value(self) -> HeaderValue {
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

/// Which formats of messages are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Formats {
    /// Protobuf, in which our own services read and write.
    Protobuf,
    /// Whatever comes after `+`: a backend reads it, and nothing is decoded here.
    Any,
}

impl Formats {
    /// The protocol and the format of a media type, if both are understood.
    fn parse(self, media_type: &str) -> Option<(Protocol, &str)> {
        let is_understood = |format| self == Self::Any || is_protobuf(format);
        protocol_and_format(media_type).filter(|(_, format)| is_understood(format))
    }
}

/// The format of messages that are not protobuf, such as `+json`.
///
/// A service that forwards calls puts the format of its response into the extensions of that response. gRPC-Web
/// clients find it in their content type again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(String);

impl Format {
    /// The format that the headers of a response in plain gRPC name; None if that is protobuf.
    pub fn of_answer(headers: &HeaderMap) -> Option<Self> {
        let (protocol, format) = protocol_and_format(header_text(headers, &header::CONTENT_TYPE)?)?;
        (protocol == Protocol::Grpc && !is_protobuf(format))
            .then(|| Self(format.to_ascii_lowercase()))
    }

    /// The content type of a gRPC call in this format.
    pub fn of_grpc(&self) -> HeaderValue {
        content_type("application/grpc", &self.0)
    }
}

fn content_type(protocol: &str, format: &str) -> HeaderValue {
    // A format is a part of a header value.
    let mut value = HeaderValue::try_from(format!("{protocol}{format}"))
        .unwrap_or_else(|_| Protocol::Grpc.header_value());
    // The client chose it: no connection is to remember it.
    value.set_sensitive(true);
    value
}

/// A media type, parameters (`; charset=…`) and case ignored, as one of the three protocols and what
/// follows it: nothing, or `+` and a format.
fn protocol_and_format(value: &str) -> Option<(Protocol, &str)> {
    let essence = value.split_once(';').map_or(value, |(essence, _)| essence).trim();
    let (name, format) = essence.split_at(essence.find('+').unwrap_or(essence.len()));
    let protocol = [Protocol::Grpc, Protocol::GrpcWeb, Protocol::GrpcWebText]
        .into_iter()
        .find(|protocol| name.eq_ignore_ascii_case(protocol.media_type()))?;
    // RFC 6838, section 4.2.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
    (format != "+" && format.bytes().all(is_token)).then_some((protocol, format))
}

fn is_protobuf(format: &str) -> bool {
    format.is_empty() || format.eq_ignore_ascii_case("+proto")
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

/// Spells what a call says of itself as the layers within know it. Its format stays what it was.
pub(crate) fn normalize<B>(
    request: &mut Request<B>,
    formats: Formats,
) -> Result<(Protocol, Option<Format>), Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::Method);
    }
    let (protocol, format) = header_text(request.headers(), &header::CONTENT_TYPE)
        .and_then(|content_type| formats.parse(content_type))
        .ok_or(Refusal::ContentType)?;
    if protocol == Protocol::Grpc && request.version() < Version::HTTP_2 {
        return Err(Refusal::HttpVersion);
    }
    let other = (!is_protobuf(format)).then(|| Format(format.to_ascii_lowercase()));
    let spelt = match (&other, protocol) {
        (Some(format), Protocol::Grpc) => format.of_grpc(),
        (None, Protocol::Grpc) if format.is_empty() => HeaderValue::from_static("application/grpc"),
        _ => protocol.header_value(),
    };
    let response = response_protocol(request.headers(), protocol, formats);
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, spelt);
    headers.insert(header::ACCEPT, response.header_value());
    Ok((protocol, other))
}

/// Gives a gRPC-Web response the format of its messages back, of which `GrpcWebLayer` knows nothing.
pub(crate) fn spell_response<B>(mut response: Response<B>) -> Response<B> {
    if let Some(format) = response.extensions_mut().remove::<Format>() {
        let spelt = header_text(response.headers(), &header::CONTENT_TYPE);
        let protocol = spelt.and_then(protocol_and_format).map(|(protocol, _)| protocol);
        if let Some(protocol) = protocol.filter(|protocol| *protocol != Protocol::Grpc) {
            let spelt = content_type(protocol.media_type(), &format.0);
            response.headers_mut().insert(header::CONTENT_TYPE, spelt);
        }
    }
    response
}

/// In which protocol a gRPC-Web call wants its response: the first one that `accept` names, and the
/// call's own when it names none (browsers then send `*/*`).
fn response_protocol(headers: &HeaderMap, call: Protocol, formats: Formats) -> Protocol {
    header_text(headers, &header::ACCEPT)
        .and_then(|accept| accept.split(',').find_map(|accept| formats.parse(accept)))
        .map(|(protocol, _)| protocol)
        .filter(|protocol| *protocol != Protocol::Grpc)
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
        normalize(&mut request, Formats::Protobuf).unwrap();
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
    fn a_forwarded_call_keeps_its_format() {
        let spelt = |content_type| {
            let mut request = request(Version::HTTP_2, content_type, "");
            let (_, format) = normalize(&mut request, Formats::Any).unwrap();
            let spelt = header_text(request.headers(), &header::CONTENT_TYPE).unwrap().to_owned();
            (spelt, format.map(|format| format.0))
        };
        for plain in ["application/grpc", "application/grpc+proto"] {
            assert_eq!(spelt(plain), (plain.to_owned(), None));
        }
        let json = Some("+json".to_owned());
        let called = spelt("Application/GRPC+JSON; charset=utf-8");
        assert_eq!(called, ("application/grpc+json".to_owned(), json.clone()));
        let called = spelt("application/grpc-web+json");
        assert_eq!(called, ("application/grpc-web+proto".to_owned(), json.clone()));
        let called = spelt("application/grpc-web-text+json");
        assert_eq!(called, ("application/grpc-web-text+proto".to_owned(), json));
        for bad in [
            "application/grpc+",
            "application/grpc+a b",
            "application/grpcx",
            "application/grpc-webx+json",
        ] {
            let mut request = request(Version::HTTP_2, bad, "");
            assert_eq!(normalize(&mut request, Formats::Any), Err(Refusal::ContentType), "{bad}");
        }
    }

    #[test]
    fn what_is_no_call_is_refused() {
        let refusal = |version, content_type| {
            normalize(&mut request(version, content_type, ""), Formats::Protobuf).unwrap_err()
        };
        for content_type in ["", "application/json", "application/grpc-web+json", "image/jpeg"] {
            assert_eq!(refusal(Version::HTTP_2, content_type), Refusal::ContentType);
        }
        assert_eq!(refusal(Version::HTTP_11, "application/grpc"), Refusal::HttpVersion);

        let mut get = request(Version::HTTP_2, "application/grpc", "");
        *get.method_mut() = Method::GET;
        let response = normalize(&mut get, Formats::Any).unwrap_err().into_response();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[header::ALLOW], "POST");
    }
}
