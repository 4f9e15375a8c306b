//! A whole call through every layer of [`runnel_rpc`].

use std::{convert::Infallible, sync::OnceLock};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use prometheus::Registry;
use runnel_limits::{Limit, quota::Quota};
use runnel_protos::api::{ApiRequest, Hello, HelloRequest, Item, Items, api_server};
use runnel_rpc::{
    Calls, Layers, Limits, Protocol, ResponseLimits, Services, access::Access,
    methods::KnownMethods,
};
use tonic::{Status, body::Body, codec::CompressionEncoding};
use tower::ServiceExt as _;

use crate::{call_log::CallLog, config::AccessConfig, metrics::CallMetrics};

const MESSAGE_LIMIT_BYTES: usize = 1000;

/// A call is answered with exactly one status, or with an error of HTTP; and so is the next one. Input:
/// a request as HTTP/1.1 writes it, with lines that end in LF and, behind the version, the size of the
/// pieces the body comes in. What is no request is left out.
pub fn call(input: &[u8]) {
    let Some(request) = request(input) else {
        return;
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("no runtime: {error}"),
    };
    runtime.block_on(async {
        answer(request).await;
        // A permit that was not given back would refuse these.
        for path in ["/api.Api/sayHello", "/api.Api/getStream"] {
            let mut next = Request::new(Body::new(Full::new(Bytes::from_static(&[0; 5]))));
            *next.method_mut() = http::Method::POST;
            *next.uri_mut() = http::Uri::from_static(path);
            *next.version_mut() = Version::HTTP_2;
            let content_type = HeaderValue::from_static(Protocol::Grpc.content_type());
            next.headers_mut().insert(header::CONTENT_TYPE, content_type);
            assert_eq!(answer(next).await, Some(0), "{path} after the input's call");
        }
    });
}

fn request(input: &[u8]) -> Option<Request<Body>> {
    let head_bytes = input.windows(2).position(|two| two == b"\n\n")?;
    let body = Bytes::copy_from_slice(&input[head_bytes + 2..]);
    let mut lines = input[..head_bytes].split(|byte| *byte == b'\n');
    let mut words = str::from_utf8(lines.next()?).ok()?.split(' ');
    let mut request = Request::builder().method(words.next()?).uri(words.next()?).version(
        match words.next()? {
            "HTTP/1.1" => Version::HTTP_11,
            _ => Version::HTTP_2,
        },
    );
    let piece_bytes = words.next().and_then(|size| size.parse().ok()).unwrap_or(usize::MAX).max(1);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        request = request.header(name, value);
    }
    let pieces = stream::unfold(body, move |mut rest| async move {
        let piece = rest.split_to(piece_bytes.min(rest.len()));
        (!piece.is_empty()).then_some((Ok::<_, Infallible>(Frame::data(piece)), rest))
    });
    request.body(Body::new(StreamBody::new(pieces))).ok()
}

/// The one status of the answer to a request; None if it is an error of HTTP.
async fn answer(request: Request<Body>) -> Option<u32> {
    let Ok(response) = service().clone().oneshot(request).await;
    let (head, mut body) = response.into_parts();
    if head.status.is_client_error() || head.status.is_server_error() {
        assert!(!head.headers.contains_key(Status::GRPC_STATUS));
        return None;
    }
    assert_eq!(head.status, http::StatusCode::OK);

    let mut statuses: Vec<_> = head.headers.get_all(Status::GRPC_STATUS).iter().cloned().collect();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => bytes.extend_from_slice(&data),
            Ok(Err(other)) => {
                let trailers: HeaderMap = other.into_trailers().unwrap_or_default();
                statuses.extend(trailers.get_all(Status::GRPC_STATUS).iter().cloned());
            }
            Err(status) => panic!("the answer broke off: {status}"),
        }
    }
    let content_type = head.headers.get(header::CONTENT_TYPE).map_or(&b""[..], |it| it.as_bytes());
    if content_type.starts_with(b"application/grpc-web") {
        assert!(statuses.len() <= usize::from(bytes.is_empty()), "a status before the last frame");
        if content_type.starts_with(b"application/grpc-web-text") {
            bytes = base64(&bytes);
        }
    }
    let web_trailers = messages(&bytes);
    for line in web_trailers.split(|byte| *byte == b'\n') {
        if let Some(status) = line.strip_prefix(b"grpc-status:") {
            statuses.extend(HeaderValue::from_bytes(status.trim_ascii()));
        }
    }
    let [status] = &statuses[..] else {
        panic!("not one status: {statuses:?}");
    };
    let code = status.to_str().ok().and_then(|code| code.parse().ok());
    assert!(code.is_some_and(|code| code <= 16), "no status: {status:?}");
    code
}

/// Checks that an answer is whole messages, and gives gRPC-Web's trailers, which must be the last.
fn messages(mut bytes: &[u8]) -> &[u8] {
    while let Some(([flag, length @ ..], rest)) = bytes.split_first_chunk::<5>() {
        let Some((message, rest)) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)
        else {
            panic!("the last message is cut off");
        };
        if flag & 0x80 != 0 {
            assert_eq!(rest, b"", "bytes behind the trailers");
            return message;
        }
        bytes = rest;
    }
    assert_eq!(bytes, b"", "the last prefix is cut off");
    b""
}

/// Base64 in pieces, each of which may be padded.
fn base64(text: &[u8]) -> Vec<u8> {
    let (quads, []) = text.as_chunks::<4>() else {
        panic!("base64 of {} characters", text.len());
    };
    let mut bytes = Vec::new();
    for quad in quads {
        let sound_bytes = match quad {
            [_, _, b'=', b'='] => 1,
            [_, _, _, b'='] => 2,
            _ => 3,
        };
        let group = quad.iter().fold(0, |group, c| {
            let sextet = match c {
                b'A'..=b'Z' => c - b'A',
                b'a'..=b'z' => c - b'a' + 26,
                b'0'..=b'9' => c - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' if sound_bytes < 3 => 0,
                _ => panic!("no base64: {c:#x}"),
            };
            group << 6 | u32::from(sextet)
        });
        bytes.extend_from_slice(&group.to_be_bytes()[1..=sound_bytes]);
    }
    bytes
}

/// The layers, with room for one call, around our methods and the reflection, which streams both ways.
fn service() -> &'static Calls {
    static SERVICE: OnceLock<Calls> = OnceLock::new();
    SERVICE.get_or_init(|| {
        let api = api_server::ApiServer::new(SmallApi)
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MESSAGE_LIMIT_BYTES);
        let services = Services::new().add_service(api).describe(runnel_protos::DESCRIPTOR_SET);
        let services = services.with_reflection();
        let described =
            services.and_then(|services| Ok((services.methods()?, services.into_dispatch())));
        let (methods, routes) = match described {
            Ok(described) => described,
            Err(error) => panic!("{error}"),
        };
        let metrics = match CallMetrics::register(&Registry::new(), &methods) {
            Ok(metrics) => metrics,
            Err(error) => panic!("{error}"),
        };
        let one = Limit { total: 1, per_address: 1 };
        let limits = Limits {
            message_bytes: MESSAGE_LIMIT_BYTES,
            response: ResponseLimits {
                message_bytes: MESSAGE_LIMIT_BYTES,
                ..ResponseLimits::default()
            },
            unary_deadline: None,
            request_timeout: None,
            unary: one,
            streams: one,
            cancels_per_address: 0,
            ..Limits::default()
        };
        let listens_on = ([127, 0, 0, 1], 8080).into();
        Layers::new()
            .with_limits(limits)
            .with_quota(Quota::new(Limit::NONE))
            .with_access(Access::new(&AccessConfig::default().settings(), listens_on))
            .with_observer((metrics, CallLog))
            .around_service(routes, KnownMethods::from(methods))
    })
}

/// The contract with short answers, so that the calls are what takes the time.
struct SmallApi;

#[tonic::async_trait]
impl api_server::Api for SmallApi {
    async fn say_hello(
        &self,
        request: tonic::Request<HelloRequest>,
    ) -> Result<tonic::Response<Hello>, Status> {
        Ok(tonic::Response::new(Hello { message: request.into_inner().name }))
    }

    async fn get_all(
        &self,
        request: tonic::Request<ApiRequest>,
    ) -> Result<tonic::Response<Items>, Status> {
        match request.into_inner() {
            ApiRequest { length: ..0, .. } => Err(Status::invalid_argument("\n\u{e4}%")),
            ApiRequest { after: id, .. } => {
                let item = Item { id, name: String::new() };
                Ok(tonic::Response::new(Items { items: vec![item] }))
            }
        }
    }

    type getStreamStream = stream::Iter<std::vec::IntoIter<Result<Item, Status>>>;

    /// A few items, and then an error if `after` is negative.
    async fn get_stream(
        &self,
        request: tonic::Request<ApiRequest>,
    ) -> Result<tonic::Response<Self::getStreamStream>, Status> {
        let ApiRequest { length, after } = request.into_inner();
        let mut items: Vec<_> =
            (0..length.rem_euclid(4)).map(|id| Ok(Item { id, name: "name".to_owned() })).collect();
        if after < 0 {
            items.push(Err(Status::aborted("after all")));
        }
        Ok(tonic::Response::new(stream::iter(items)))
    }
}
