//! A backend that answers OK to whatever it is asked, and tells how it was asked.

use h2::server;
use http::{Response, header, request};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::{AbortHandle, JoinSet},
};

/// Serves until it is dropped.
pub(super) struct Recorder {
    pub(super) url: String,
    heads: UnboundedReceiver<request::Parts>,
    /// Those of health and reflection, which the front asks of itself.
    own_heads: UnboundedReceiver<request::Parts>,
    accepting: AbortHandle,
}

impl Recorder {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ((tell, heads), (tell_own, own_heads)) = (unbounded_channel(), unbounded_channel());
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(record(stream, tell.clone(), tell_own.clone()));
            }
        });
        Self { url, heads, own_heads, accepting: accepting.abort_handle() }
    }

    /// The head of the next call that is a client's.
    pub(super) async fn next(&mut self) -> request::Parts {
        runnel_tests::patiently("a call", self.heads.recv()).await.unwrap()
    }

    /// The head of the next call that is the front's own.
    pub(super) async fn next_own(&mut self) -> request::Parts {
        runnel_tests::patiently("a call", self.own_heads.recv()).await.unwrap()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn record(
    stream: TcpStream,
    tell: UnboundedSender<request::Parts>,
    tell_own: UnboundedSender<request::Parts>,
) {
    let Ok(mut connection) = server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (head, _) = request.into_parts();
        let is_own = head.uri.path().starts_with("/grpc.");
        let mut answer = Response::builder().header("grpc-status", "0");
        if let Some(content_type) = head.headers.get(header::CONTENT_TYPE) {
            answer = answer.header(header::CONTENT_TYPE, content_type);
        }
        let _ = respond.send_response(answer.body(()).unwrap(), true);
        let _ = if is_own { tell_own.send(head) } else { tell.send(head) };
    }
}
