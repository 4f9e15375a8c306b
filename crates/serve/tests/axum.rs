//! A plain axum router, served with limits and a drain: nothing of gRPC is needed.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    future, io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::Extension, routing::get};
use http::StatusCode;
use runnel_serve::{LimitReached, Observer, Peer, Server, Settings, WriteSize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    time::timeout,
};

const DEADLINE: Duration = Duration::from_mins(1);

/// Waits for `future`, and fails if that takes so long that something hangs.
async fn patiently<F: Future>(what: &str, future: F) -> F::Output {
    timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("no {what} within a minute"))
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Sends a request without a body, and leaves the connection open.
async fn send(address: SocketAddr, request_line: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!("{request_line}\r\nhost: localhost\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

/// All that comes until the server closes the connection.
async fn rest(mut client: TcpStream) -> String {
    let mut response = String::new();
    patiently("end of a response", client.read_to_string(&mut response)).await.unwrap();
    response
}

#[tokio::test]
async fn a_drain_lets_an_open_request_end_says_that_it_was_the_last_and_accepts_no_more() {
    let (begun, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (begun, finish) = (Arc::clone(&begun), Arc::clone(&finish));
        async move |Extension(Peer(peer)): Extension<Peer>| {
            begun.notify_one();
            finish.notified().await;
            format!("hello {}", peer.ip())
        }
    };
    let (listener, address) = listener().await;
    let (shut_down, shutdown) = oneshot::channel::<()>();
    let server = Server::new(Router::new().route("/slow", get(slow)));
    let served = tokio::spawn(server.serve(listener, async {
        let _ = shutdown.await;
    }));

    let client = send(address, "GET /slow HTTP/1.1").await;
    patiently("request", begun.notified()).await;
    shut_down.send(()).unwrap();
    // The listener is closed soon after, while the request is still open.
    patiently("refusal of new connections", async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!served.is_finished());
    finish.notify_one();
    let response = rest(client).await;
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.contains("connection: close\r\n"), "{response}");
    assert!(response.ends_with("hello 127.0.0.1"), "{response}");
    patiently("end of the server", served).await.unwrap();
}

#[tokio::test]
async fn a_request_that_never_ends_is_told_of_the_drain_deadline_and_then_cut_off() {
    let begun = Arc::new(Notify::new());
    let stuck = {
        let begun = Arc::clone(&begun);
        async move || {
            begun.notify_one();
            future::pending::<()>().await;
        }
    };
    let (listener, address) = listener().await;
    let mut settings = Settings::default();
    settings.drain_deadline = Duration::from_millis(1);
    let (reached, deadline) = oneshot::channel();
    let (shut_down, shutdown) = oneshot::channel::<()>();
    let server = Server::new(Router::new().route("/", get(stuck)))
        .with_settings(settings)
        .on_drain_deadline(|| reached.send(()).unwrap());
    let served = tokio::spawn(server.serve(listener, async {
        let _ = shutdown.await;
    }));

    let mut client = send(address, "GET / HTTP/1.1").await;
    patiently("request", begun.notified()).await;
    shut_down.send(()).unwrap();
    patiently("drain deadline", deadline).await.unwrap();
    patiently("end of the server", served).await.unwrap();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap_or_default(), 0);
}

/// Writes down what it is told.
#[derive(Default)]
struct Journal {
    events: Mutex<Vec<String>>,
    changed: Notify,
}

impl Journal {
    fn add(&self, event: impl Into<String>) {
        self.events.lock().unwrap().push(event.into());
        self.changed.notify_one();
    }

    async fn expect(&self, event: &str) {
        let found = async {
            while !self.events.lock().unwrap().iter().any(|other| other == event) {
                self.changed.notified().await;
            }
        };
        patiently(event, found).await;
    }
}

impl Observer for Journal {
    fn connection_opened(&self) {
        self.add("opened");
    }

    fn connection_closed(&self) {
        self.add("closed");
    }

    fn connection_refused(&self, limit: LimitReached) {
        self.add(match limit {
            LimitReached::Total { .. } => "refused: total",
            LimitReached::PerAddress { .. } => "refused: per address",
        });
    }

    fn handshake_failed(&self, error: &io::Error) {
        self.add(format!("handshake: {:?}", error.kind()));
    }

    fn http_error(&self, status: StatusCode) {
        self.add(format!("error: {}", status.as_u16()));
    }
}

#[tokio::test]
async fn an_observer_is_told_of_connections_and_errors() {
    let (listener, address) = listener().await;
    let journal = Arc::new(Journal::default());
    let mut settings = Settings::default();
    settings.connections.per_address = 1;
    let server = Server::new(Router::new()).with_settings(settings).with_observer(journal.clone());
    let served = tokio::spawn(server.serve(listener, future::pending()));

    let first = send(address, "GET /none HTTP/1.1").await;
    journal.expect("error: 404").await;
    assert_eq!(TcpStream::connect(address).await.unwrap().read(&mut [0]).await.unwrap_or(0), 0);
    journal.expect("refused: per address").await;
    drop(first);
    journal.expect("closed").await;
    let events = journal.events.lock().unwrap().join(", ");
    assert_eq!(events, "opened, error: 404, refused: per address, closed");
    served.abort();
}

#[tokio::test]
async fn an_observer_is_told_of_a_client_that_does_not_say_what_it_speaks() {
    let (listener, address) = listener().await;
    let journal = Arc::new(Journal::default());
    let mut settings = Settings::default();
    settings.handshake_timeout = Duration::from_millis(1);
    let server = Server::new(Router::new()).with_settings(settings).with_observer(journal.clone());
    let served = tokio::spawn(server.serve(listener, future::pending()));
    let silent = TcpStream::connect(address).await.unwrap();
    journal.expect("handshake: TimedOut").await;
    drop(silent);
    journal.expect("closed").await;
    served.abort();
}

#[tokio::test]
async fn what_is_no_http_and_a_head_that_is_too_large_never_reach_the_service() {
    let (listener, address) = listener().await;
    let journal = Arc::new(Journal::default());
    let mut settings = Settings::default();
    settings.header_limit_bytes = 1000;
    let router = Router::new().fallback(async || -> StatusCode { panic!("it was asked") });
    let server = Server::new(router).with_settings(settings).with_observer(journal.clone());
    let served = tokio::spawn(server.serve(listener, future::pending()));

    let response = rest(send(address, "this is no HTTP").await).await;
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
    journal.expect("error: 400").await;
    let large = format!("GET /{} HTTP/1.1", "x".repeat(1000));
    let response = rest(send(address, &large).await).await;
    assert!(response.starts_with("HTTP/1.1 431 "), "{response}");
    journal.expect("error: 431").await;
    served.abort();
}

/// A service that writes large responses itself need not know what carries them.
#[tokio::test]
async fn a_request_says_how_large_the_pieces_of_its_response_should_be() {
    let (listener, address) = listener().await;
    let size = async |Extension(WriteSize(bytes)): Extension<WriteSize>| bytes.to_string();
    let app = Router::new().route("/", get(size));
    let (shut_down, shutdown) = oneshot::channel::<()>();
    let server = tokio::spawn(Server::new(app).serve(listener, async {
        let _ = shutdown.await;
    }));
    let over_http1 = rest(send(address, "GET / HTTP/1.1\r\nconnection: close").await).await;
    let bytes: usize = over_http1.lines().last().unwrap().parse().unwrap();
    // Three of them leave room in the 32 KiB that a connection gathers.
    assert!((8 * 1024..32 * 1024 / 3).contains(&bytes), "{over_http1}");
    drop(shut_down);
    patiently("end of the server", server).await.unwrap();
}
