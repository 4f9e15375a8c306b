//! How long a connection over HTTP/1.1 may be idle, how old it may grow, and how slow the head of a request
//! may be. The clock is the runtime's own.

use ::http::Response;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    time::Instant,
};
use tonic::body::Body;
use tower::service_fn;

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Answers nothing but 200.
fn service() -> impl HttpService {
    service_fn(async |_| Ok(Response::new(Body::empty())))
}

/// Asks over HTTP/1.1 and reads the head of the response; None if the connection has ended.
async fn ask(client: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<String> {
    client.write_all(REQUEST).await.ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// A client over HTTP/1.1 of connections that are as by default.
fn client_over_http1(settings: &Settings) -> (DuplexStream, watch::Sender<bool>) {
    let (observer, (server, draining)) = (SharedObserver::default(), watch::channel(false));
    let connections = Connections::new(service(), settings, None, observer, draining);
    let (client, socket) = tokio::io::duplex(64 * 1024);
    let app = connections.app(SocketAddr::from(([127, 0, 0, 1], 1)), None);
    tokio::spawn(async move { connections.http(socket, Version::Http1, app, |_| {}).await });
    (client, server)
}

/// Load balancers keep theirs for a minute: nothing may be asked on one that is just being closed.
#[tokio::test(start_paused = true)]
async fn a_connection_over_http1_may_be_idle_for_as_long_as_it_was_told() {
    let (mut client, _server) = client_over_http1(&Settings::default());
    for _ in 0..3 {
        let head = ask(&mut client).await.unwrap();
        let (_, told) = head.split_once("keep-alive: timeout=").unwrap();
        assert!(head.contains("connection: keep-alive\r\n"), "{head}");
        let seconds = told.split_once("\r\n").unwrap().0.parse().unwrap();
        assert!(seconds > 75, "{seconds}");
        sleep(Duration::from_secs(seconds)).await;
    }
    assert!(ask(&mut client).await.is_some());
    sleep(2 * Settings::default().idle_timeout.unwrap()).await;
    assert!(ask(&mut client).await.is_none(), "it is closed in the end");
}

#[tokio::test(start_paused = true)]
async fn a_head_has_its_time_from_its_first_byte_on_whatever_came_before() {
    let settings = Settings::default();
    let (mut client, _server) = client_over_http1(&settings);
    ask(&mut client).await.unwrap();
    sleep(settings.idle_timeout.unwrap() / 2).await;
    client.write_all(&REQUEST[..10]).await.unwrap();
    sleep(settings.header_timeout.saturating_sub(Duration::from_secs(1))).await;
    client.write_all(&REQUEST[10..20]).await.unwrap();
    let began = Instant::now();
    assert_eq!(client.read(&mut [0; 16]).await.unwrap_or_default(), 0, "it is closed");
    assert_eq!(began.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_over_http1_is_closed_behind_a_response_that_says_so() {
    let max_age = Duration::from_mins(1);
    let settings = Settings { max_connection_age: Some(max_age), ..Settings::default() };
    let (mut client, _server) = client_over_http1(&settings);
    ask(&mut client).await.unwrap();
    sleep(2 * max_age).await;
    let last = ask(&mut client).await.expect("an answer to what was asked of an old connection");
    assert!(last.contains("connection: close\r\n") && !last.contains("keep-alive"), "{last}");
    assert!(ask(&mut client).await.is_none());
}
