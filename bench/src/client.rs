//! One client for every server: sends a call, counts the answer's bytes, checks how it ended, and
//! throws it away.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use crate::contract::Call;

/// More than the status is not expected behind the last message, but a few more trailers are fine.
const MAX_TRAILER_BYTES: usize = 4096;

/// How a call travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// gRPC-Web binary on HTTP/1.1.
    WebHttp1,
    /// gRPC-Web text, base64, on HTTP/1.1.
    WebText,
    /// gRPC-Web binary on HTTP/2 without TLS.
    WebHttp2,
    /// gRPC on HTTP/2 without TLS.
    Grpc,
}

impl Wire {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::WebHttp1 => "gRPC-Web, HTTP/1.1",
            Self::WebText => "gRPC-Web text, HTTP/1.1",
            Self::WebHttp2 => "gRPC-Web, HTTP/2",
            Self::Grpc => "gRPC, HTTP/2",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::WebHttp1 | Self::WebHttp2 => "application/grpc-web+proto",
            Self::WebText => "application/grpc-web-text+proto",
            Self::Grpc => "application/grpc",
        }
    }
}

/// A caller: an HTTP/1.1 connection of its own, or its share of an HTTP/2 connection.
#[derive(Debug)]
pub struct Caller {
    wire: Wire,
    address: SocketAddr,
    sender: Sender,
}

/// The two senders of hyper, which have no trait in common.
#[derive(Debug)]
pub(crate) enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Caller {
    /// Connects one caller.
    pub async fn connect(address: SocketAddr, wire: Wire) -> Result<Self> {
        let socket = TcpStream::connect(address).await.context("cannot connect")?;
        socket.set_nodelay(true)?;
        Self::over(socket, address, wire).await
    }

    /// One caller on a connection that was made to `address`.
    pub async fn over<I>(io: I, address: SocketAddr, wire: Wire) -> Result<Self>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(io);
        let sender = match wire {
            Wire::WebHttp1 | Wire::WebText => {
                let (sender, connection) = http1::handshake(io).await?;
                tokio::spawn(connection);
                Sender::Http1(sender)
            }
            Wire::WebHttp2 | Wire::Grpc => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                Sender::Http2(sender)
            }
        };
        Ok(Self::new(address, wire, sender))
    }

    /// Connects `callers`: as many connections on HTTP/1.1, as many streams of one on HTTP/2.
    pub async fn connect_many(address: SocketAddr, wire: Wire, callers: u32) -> Result<Vec<Self>> {
        let first = Self::connect(address, wire).await?;
        let mut all = Vec::new();
        for _ in 1..callers {
            all.push(match first.share() {
                Some(shared) => shared,
                None => Self::connect(address, wire).await?,
            });
        }
        all.push(first);
        Ok(all)
    }

    /// A caller on a connection that was made elsewhere.
    pub(crate) fn new(address: SocketAddr, wire: Wire, sender: Sender) -> Self {
        Self { wire, address, sender }
    }

    /// Another caller on the same connection, if the protocol lets calls share one.
    pub(crate) fn share(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => {
                Some(Self::new(self.address, self.wire, Sender::Http2(sender.clone())))
            }
        }
    }

    /// Makes a call and reads its answer to the end. An answer that is not the contract's is an error.
    pub async fn call(&mut self, call: &Call) -> Result<()> {
        let response = self.send(call).await?;
        read(self.wire, response.into_body(), call.answer.len())
            .await
            .with_context(|| format!("{} over {}", call.path, self.wire.name()))
    }

    /// Makes a call; the answer's body is the caller's to read.
    pub async fn send(&mut self, call: &Call) -> Result<Response<Incoming>> {
        let request = Request::post(match self.sender {
            Sender::Http1(_) => call.path.to_owned(),
            Sender::Http2(_) => format!("http://{}{}", self.address, call.path),
        })
        .header(header::HOST, self.address.to_string())
        .header(header::CONTENT_TYPE, self.wire.content_type())
        .header(header::TE, "trailers")
        .header(header::ACCEPT, self.wire.content_type())
        .body(Full::new(match self.wire {
            Wire::WebText => STANDARD.encode(&call.request).into(),
            _ => call.request.clone(),
        }))?;
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        ensure!(response.status() == StatusCode::OK, "HTTP status {}", response.status());
        Ok(response)
    }
}

/// Reads a body whose messages take `message_bytes`, and the status behind them.
async fn read(wire: Wire, mut body: Incoming, message_bytes: usize) -> Result<()> {
    if wire == Wire::WebText {
        return read_text(body, message_bytes).await;
    }
    let mut missing = message_bytes;
    let mut rest = Vec::new();
    let mut trailers = HeaderMap::new();
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => {
                let counted = missing.min(data.len());
                missing -= counted;
                rest.extend_from_slice(data.get(counted..).unwrap_or_default());
                ensure!(rest.len() <= MAX_TRAILER_BYTES, "more messages than there should be");
            }
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    ensure!(missing == 0, "{missing} of {message_bytes} bytes did not come");
    match wire {
        Wire::Grpc => {
            ensure!(rest.is_empty(), "more messages than there should be");
            let status = trailers.get("grpc-status").context("no grpc-status in the trailers")?;
            ensure!(status == "0", "grpc-status {status:?}");
            Ok(())
        }
        Wire::WebHttp1 | Wire::WebHttp2 => check_trailer_frame(&rest),
        Wire::WebText => bail!("text is read elsewhere"),
    }
}

/// Reads base64: counts it, and decodes only its end. To decode all would cost more than to serve it.
async fn read_text(mut body: Incoming, message_bytes: usize) -> Result<()> {
    let (mut characters, mut end) = (0, Vec::new());
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            characters += data.len();
            end.extend_from_slice(data.get(data.len().saturating_sub(64)..).unwrap_or_default());
            end.drain(..end.len().saturating_sub(64));
        }
    }
    ensure!(characters % 4 == 0, "{characters} characters are no base64");
    ensure!(characters / 4 * 3 >= message_bytes, "{characters} characters are too few");
    // Each piece is padded by itself, so it is decoded by groups.
    let groups = end.chunks(4).map(|group| STANDARD.decode(group));
    let end = groups.collect::<Result<Vec<_>, _>>()?.concat();
    let text = String::from_utf8_lossy(&end);
    ensure!(text.contains("grpc-status:0") || text.contains("grpc-status: 0"), "it ends {text:?}");
    Ok(())
}

/// A flag byte, a length, and lines of which one is `grpc-status:0`.
fn check_trailer_frame(frame: &[u8]) -> Result<()> {
    let Some(([0x80, length @ ..], text)) = frame.split_first_chunk::<5>() else {
        bail!("no trailer frame behind the messages");
    };
    let length = usize::try_from(u32::from_be_bytes(*length))?;
    ensure!(length == text.len(), "a trailer frame of {length} bytes has {}", text.len());
    let text = str::from_utf8(text).context("the trailers are no text")?;
    let ok = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| name == "grpc-status" && value.trim() == "0");
    ensure!(ok, "the trailers are {text:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_trailer_frame_with_status_zero_is_a_good_end() {
        let frame = |text: &str| {
            let length = u32::try_from(text.len()).unwrap().to_be_bytes();
            [&[0x80], &length[..], text.as_bytes()].concat()
        };
        assert!(check_trailer_frame(&frame("grpc-status:0\r\n")).is_ok());
        assert!(check_trailer_frame(&frame("a: b\r\ngrpc-status: 0\r\n")).is_ok());
        assert!(check_trailer_frame(&frame("grpc-status:8\r\n")).is_err());
        assert!(check_trailer_frame(&frame("")).is_err());
        assert!(check_trailer_frame(b"").is_err());
        assert!(check_trailer_frame(b"\0\0\0\0\x0fgrpc-status:0\r\n").is_err());
        assert!(check_trailer_frame(b"\x80\0\0\0\x0egrpc-status:0\r\n").is_err());
    }
}
