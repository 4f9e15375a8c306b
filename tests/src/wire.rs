//! Calls framed by hand, on all three protocols: what a client library would hide or refuse to send.

use std::{collections::HashMap, net::SocketAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use runnel_protos::api::ApiRequest;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;

use crate::patiently;

/// The three ways to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC over HTTP/2 without TLS, by prior knowledge.
    Grpc,
    /// gRPC-Web binary over HTTP/1.1.
    GrpcWeb,
    /// gRPC-Web text, base64, over HTTP/1.1.
    GrpcWebText,
}

/// All of them.
pub const PROTOCOLS: [Protocol; 3] = [Protocol::Grpc, Protocol::GrpcWeb, Protocol::GrpcWebText];

impl Protocol {
    /// The shortest content type that names it.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Grpc => "application/grpc",
            Self::GrpcWeb => "application/grpc-web",
            Self::GrpcWebText => "application/grpc-web-text",
        }
    }

    /// A request body as the protocol wants it.
    pub fn encode(self, body: Vec<u8>) -> Bytes {
        match self {
            Self::GrpcWebText => STANDARD.encode(body).into(),
            Self::Grpc | Self::GrpcWeb => body.into(),
        }
    }
}

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub http_status: StatusCode,
    /// The HTTP headers.
    pub headers: HeaderMap,
    /// The payloads of the data frames.
    pub messages: Vec<Bytes>,
    /// The gRPC trailers, wherever the protocol puts them: a trailer frame, HTTP/2 trailers, or the
    /// headers of an answer that has nothing else.
    pub trailers: HashMap<String, String>,
    /// The same, every value of every name.
    pub all_trailers: Vec<(String, String)>,
}

impl Answer {
    /// The gRPC status code, if there is exactly one.
    pub fn code(&self) -> Option<Code> {
        self.trailers.get("grpc-status")?.parse().ok().map(Code::from_i32)
    }

    /// The gRPC status message, still percent-encoded.
    pub fn message(&self) -> &str {
        self.trailers.get("grpc-message").map_or("", String::as_str)
    }

    /// The messages, decoded.
    pub fn decode<M: Message + Default>(&self) -> Vec<M> {
        self.messages.iter().map(|bytes| M::decode(&bytes[..]).expect("a message")).collect()
    }
}

/// One length-prefixed message: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.
pub fn frame(message: &impl Message) -> Vec<u8> {
    let payload = message.encode_to_vec();
    let length = u32::try_from(payload.len()).expect("a message below 4 GiB");
    [&[0][..], &length.to_be_bytes(), &payload].concat()
}

/// Sends `body`, base64-encoded where the protocol is text, and takes the answer apart.
pub async fn call(address: SocketAddr, protocol: Protocol, path: &str, body: Vec<u8>) -> Answer {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, protocol.content_type())
        .body(protocol.encode(body))
        .expect("a request");
    send(address, protocol, request).await
}

/// Whatever just happened, the server answers a normal call on every protocol.
pub async fn is_none_the_worse(address: SocketAddr) {
    for protocol in PROTOCOLS {
        let request = frame(&ApiRequest { length: 1, after: 0 });
        let answer = call(address, protocol, "/api.Api/getAll", request).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?}");
    }
}

/// Sends a request as it is and takes the answer apart.
pub async fn send(address: SocketAddr, protocol: Protocol, request: Request<Bytes>) -> Answer {
    answer(match protocol {
        Protocol::Grpc => http2_request(address, request).await,
        Protocol::GrpcWeb | Protocol::GrpcWebText => http1_request(address, request).await,
    })
    .await
}

/// Takes an answer apart.
pub async fn answer(response: http::Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let body = patiently("the answer's body", body.collect()).await.expect("a whole answer");
    let http_trailers = body.trailers().cloned().unwrap_or_default();
    let body = body.to_bytes();

    let mut answer = Answer {
        http_status: head.status,
        messages: Vec::new(),
        all_trailers: text_list(&http_trailers),
        trailers: text_list(&http_trailers).into_iter().collect(),
        headers: head.headers,
    };
    if answer.headers.contains_key("grpc-status") {
        assert_eq!(body, Bytes::new(), "a status in the head means there is no body");
        answer.all_trailers = text_list(&answer.headers);
        answer.trailers = answer.all_trailers.iter().cloned().collect();
        return answer;
    }
    let answered_in = answer.headers.get(header::CONTENT_TYPE).map_or(&b""[..], |v| v.as_bytes());
    if answered_in.starts_with(b"application/grpc-web-text") {
        take_apart(&decode_base64(&body), &mut answer);
    } else if answered_in.starts_with(b"application/grpc") {
        take_apart(&body, &mut answer);
    }
    answer
}

/// A plain HTTP/1.1 request on a connection of its own.
pub async fn http1_request(
    address: SocketAddr,
    request: Request<Bytes>,
) -> http::Response<Incoming> {
    let stream = TcpStream::connect(address).await.expect("connect");
    http1_over(stream, address, request).await
}

/// What `getStream` answers over gRPC-Web to a client that sends its whole message and does not say that
/// its request is over, up to the status.
pub async fn answer_to_a_request_without_an_end(address: SocketAddr, message: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connect");
    let head = format!(
        "POST /api.Api/getStream HTTP/1.1\r\nhost: localhost\r\n\
         content-type: application/grpc-web\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n",
        message.len()
    );
    let request = [head.as_bytes(), message, b"\r\n"].concat();
    stream.write_all(&request).await.expect("send the request");
    let mut answer = Vec::new();
    patiently("the status", async {
        while !String::from_utf8_lossy(&answer).contains("grpc-status") {
            let read = stream.read_buf(&mut answer).await.expect("an answer");
            assert_ne!(read, 0, "it closed: {}", String::from_utf8_lossy(&answer));
        }
    })
    .await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// An HTTP/1.1 request over a connection that was made to `address`.
pub async fn http1_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
    mut request: Request<Bytes>,
) -> http::Response<Incoming> {
    request.headers_mut().entry(header::HOST).or_insert_with(|| {
        header::HeaderValue::try_from(address.to_string()).expect("an address is a header value")
    });
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    patiently("an answer", sender.send_request(request.map(Full::new))).await.expect("an answer")
}

/// A plain HTTP/2 request, by prior knowledge, on a connection of its own.
pub async fn http2_request(
    address: SocketAddr,
    request: Request<Bytes>,
) -> http::Response<Incoming> {
    let stream = TcpStream::connect(address).await.expect("connect");
    http2_over(stream, address, request).await
}

/// An HTTP/2 request over a connection that was made to `address`.
pub async fn http2_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
    mut request: Request<Bytes>,
) -> http::Response<Incoming> {
    *request.uri_mut() =
        format!("http://{address}{}", request.uri()).parse().expect("an absolute URI");
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    patiently("an answer", sender.send_request(request.map(Full::new))).await.expect("an answer")
}

/// Each flush of a text stream is padded by itself, so it is decoded by groups of four characters.
fn decode_base64(text: &[u8]) -> Vec<u8> {
    assert_eq!(text.len() % 4, 0, "base64 comes in groups of four");
    text.chunks(4).flat_map(|group| STANDARD.decode(group).expect("base64")).collect()
}

/// Cuts a body into its frames; what follows the last whole frame fails the test.
fn take_apart(mut body: &[u8], answer: &mut Answer) {
    while !body.is_empty() {
        let ([flag, length @ ..], rest) = body.split_first_chunk::<5>().expect("a whole prefix");
        let length = usize::try_from(u32::from_be_bytes(*length)).expect("64 bits");
        let (payload, rest) = rest.split_at_checked(length).expect("a whole frame");
        body = rest;
        if flag & 0x80 == 0 {
            answer.messages.push(Bytes::copy_from_slice(payload));
        } else {
            assert!(body.is_empty(), "the trailer frame is the last");
            let text = std::str::from_utf8(payload).expect("trailers are text");
            for line in text.split_terminator("\r\n") {
                let (name, value) = line.split_once(':').expect("name: value");
                let (name, value) = (name.to_owned(), value.trim().to_owned());
                answer.all_trailers.push((name.clone(), value.clone()));
                answer.trailers.insert(name, value);
            }
        }
    }
}

fn text_list(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect()
}
