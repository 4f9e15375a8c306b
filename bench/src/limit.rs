//! The floor: hyper answering with bytes that were encoded before anyone called. What it costs is
//! what sockets, HTTP and the kernel cost; a server can be no cheaper than this on hyper.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use anyhow::Result;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::TcpListener;

use crate::contract::Call;

/// How much of the answer hyper gets at a time, in bytes.
const CHUNK_BYTES: usize = 32 * 1024;

/// The trailer frame of gRPC-Web that ends a call that went well: flag, length, the one trailer.
const TRAILER_FRAME: &[u8] = b"\x80\0\0\0\x0fgrpc-status:0\r\n";

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Answers `calls` on `listener` for ever, each whatever its request says. Anything else is a 404.
pub async fn serve(listener: TcpListener, calls: Vec<Call>) -> Result<()> {
    let answers: Arc<[Answer]> = calls.into_iter().map(Answer::new).collect();
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let answers = Arc::clone(&answers);
        tokio::spawn(async move {
            let respond = service_fn(move |request| respond(request, Arc::clone(&answers)));
            // An Err is a client that went away.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(socket), respond)
                .await;
        });
    }
}

struct Answer {
    path: &'static str,
    grpc: Bytes,
    grpc_web: Bytes,
}

impl Answer {
    fn new(call: Call) -> Self {
        let grpc_web = [&call.answer, TRAILER_FRAME].concat().into();
        Self { path: call.path, grpc: call.answer, grpc_web }
    }
}

async fn respond(
    request: Request<Incoming>,
    answers: Arc<[Answer]>,
) -> Result<Response<Encoded>, hyper::Error> {
    let (head, body) = request.into_parts();
    body.collect().await?;
    let Some(answer) = answers.iter().find(|answer| answer.path == head.uri.path()) else {
        let mut response = Response::new(Encoded::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    };
    let content_type = head.headers.get(header::CONTENT_TYPE).cloned();
    let grpc = content_type.as_ref().is_some_and(|grpc| grpc == "application/grpc");
    let mut response = Response::new(if grpc {
        let ok = (GRPC_STATUS, HeaderValue::from_static("0"));
        Encoded { data: answer.grpc.clone(), trailers: Some(HeaderMap::from_iter([ok])) }
    } else {
        Encoded { data: answer.grpc_web.clone(), trailers: None }
    });
    if let Some(content_type) = content_type {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    Ok(response)
}

/// A body that is there already. It does not tell its length, as no gRPC server can.
#[derive(Default)]
struct Encoded {
    data: Bytes,
    trailers: Option<HeaderMap>,
}

impl http_body::Body for Encoded {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.data.is_empty() {
            return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let chunk = if this.data.len() > CHUNK_BYTES {
            this.data.split_to(CHUNK_BYTES)
        } else {
            mem::take(&mut this.data)
        };
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }
}
