//! What a client speaks: TLS or not, and which HTTP. Its first bytes say so.

use std::{io, sync::Arc};

use http::StatusCode;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};

use crate::{observer::SharedObserver, socket::Socket};

/// How every HTTP/2 connection begins: RFC 9113 section 3.4.
pub(crate) const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How every TLS connection begins, with a record of this type: RFC 8446 section 5.1.
const TLS_HANDSHAKE: u8 = 22;

/// What a client is told that asks for `http://` where `https://` is spoken. A gRPC client shows it, too.
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 57\r\n\
    connection: close\r\n\r\n\
    This port speaks TLS. Ask for https://, not for http://.\n";

/// How much of a response TLS may hold, in bytes: a record (RFC 8446 section 5.1) and what is around it.
/// What is left waits in hyper's buffer, whose size is known. The library's default is 64 KiB.
const TLS_BUFFER_BYTES: usize = 17 * 1024;

/// The version of HTTP that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// What it is spoken over.
pub(crate) enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// Finds out what the client speaks where nothing is encrypted.
pub(crate) async fn plain(mut socket: Socket) -> io::Result<(Transport, Version)> {
    let head = socket.read_head(|head| !HTTP2_PREFACE.starts_with(head)).await?;
    let version = if head == HTTP2_PREFACE { Version::Http2 } else { Version::Http1 };
    Ok((Transport::Plain(socket), version))
}

/// Finds out what the client speaks where all is encrypted. A client that asks in the clear is told so.
pub(crate) async fn tls(
    mut socket: Socket,
    config: Arc<ServerConfig>,
    observer: &SharedObserver,
) -> io::Result<(Transport, Version)> {
    if socket.read_head(|head| !head.is_empty()).await?.first() != Some(&TLS_HANDSHAKE) {
        observer.http_error(StatusCode::BAD_REQUEST);
        socket.write_all(NOT_TLS).await?;
        return Err(io::Error::other("it does not speak TLS"));
    }
    // In a box, or every connection without TLS would be as large.
    let stream = Box::pin(TlsAcceptor::from(config).accept_with(socket, |tls| {
        tls.set_buffer_limit(Some(TLS_BUFFER_BYTES));
    }));
    let stream = stream.await?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let version = if is_http2 { Version::Http2 } else { Version::Http1 };
    Ok((Transport::Tls(Box::new(stream)), version))
}
