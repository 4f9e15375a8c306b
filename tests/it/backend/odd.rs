//! Backends made by hand, to do what no gRPC server would do of itself.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use h2::{RecvStream, server::SendResponse};
use http::{Request, Response};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::task::AbortOnDropHandle;

/// A listener whose connections are all handled in one way; all end when it is dropped.
pub(super) struct Odd {
    pub(super) address: SocketAddr,
    _accepting: AbortOnDropHandle<()>,
}

impl Odd {
    /// Handles each connection as told; its number tells the first from the others.
    pub(super) async fn start<F>(handle: impl Fn(usize, TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            let mut connections = Vec::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let handled = tokio::spawn(handle(number, stream));
                connections.push(AbortOnDropHandle::new(handled));
            }
        });
        Self { address, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// Speaks HTTP/2, and handles each call as told. Health checks and reflection are answered: there is
    /// no such service.
    pub(super) async fn http2(
        call: impl Fn(Call) -> BoxFuture<'static, ()> + Clone + Send + 'static,
    ) -> Self {
        Self::start(move |_, stream| serve_http2(stream, "/grpc.", call.clone())).await
    }

    /// The same, with so many streams on a connection.
    pub(super) async fn http2_with_streams(
        streams: u32,
        call: impl Fn(Call) -> BoxFuture<'static, ()> + Clone + Send + 'static,
    ) -> Self {
        Self::start(move |_, stream| {
            let mut builder = h2::server::Builder::new();
            builder.max_concurrent_streams(streams);
            serve_http2_as(builder, stream, "/grpc.", call.clone())
        })
        .await
    }

    /// The same, but reflection is as told, too.
    pub(super) async fn http2_with_reflection(
        call: impl Fn(Call) -> BoxFuture<'static, ()> + Clone + Send + 'static,
    ) -> Self {
        Self::start(move |_, stream| serve_http2(stream, "/grpc.health.", call.clone())).await
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// A call that came.
pub(super) struct Call {
    /// Held, so that it is not reset.
    request: Request<RecvStream>,
    pub(super) respond: SendResponse<Bytes>,
    /// Ends the connection once everything that was sent has arrived.
    end: mpsc::Sender<()>,
}

impl Call {
    /// What is called.
    pub(super) fn path(&self) -> &str {
        self.request.uri().path()
    }

    /// Reads the request to its end.
    pub(super) async fn read_request(&mut self) -> Vec<u8> {
        let (mut request, body) = (Vec::new(), self.request.body_mut());
        while let Some(piece) = body.data().await {
            let piece = piece.unwrap();
            body.flow_control().release_capacity(piece.len()).unwrap();
            request.extend(piece);
        }
        request
    }

    /// The head of an answer, with these headers.
    pub(super) fn head(headers: &[(&'static str, &str)]) -> Response<()> {
        let mut response = Response::new(());
        for (name, value) in headers {
            response.headers_mut().append(*name, value.parse().unwrap());
        }
        response
    }

    /// Ends the connection under the call.
    pub(super) async fn break_connection(self) {
        self.end.send(()).await.unwrap();
        std::future::pending::<()>().await;
    }

    /// Answers with a status and nothing else.
    pub(super) fn refuse(mut self, code: &str) {
        let head = Self::head(&[("content-type", "application/grpc"), ("grpc-status", code)]);
        self.respond.send_response(head, true).unwrap();
    }
}

/// See [`Odd::http2`]; there is no service whose path begins with `not`.
pub(super) async fn serve_http2(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    not: &str,
    call: impl Fn(Call) -> BoxFuture<'static, ()>,
) {
    serve_http2_as(h2::server::Builder::new(), stream, not, call).await;
}

async fn serve_http2_as(
    builder: h2::server::Builder,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    not: &str,
    call: impl Fn(Call) -> BoxFuture<'static, ()>,
) {
    // A client that connects without speaking HTTP/2 is gone again.
    let Ok(mut connection) = builder.handshake(stream).await else {
        return;
    };
    let (end, mut ending) = mpsc::channel(1);
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else {
                    return;
                };
                let came = Call { request, respond, end: end.clone() };
                if came.path().starts_with(not) {
                    came.refuse("12");
                } else {
                    tokio::spawn(call(came));
                }
            }
            _ = ending.recv() => break,
        }
    }
    let mut pings = connection.ping_pong().unwrap();
    tokio::select! {
        _ = connection.accept() => {}
        _ = pings.ping(h2::Ping::opaque()) => {}
    }
}

/// The content type that every answer needs.
pub(super) const GRPC: (&str, &str) = ("content-type", "application/grpc");
