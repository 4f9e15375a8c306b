use ::http::Response;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::Instant,
};
use tonic::body::Body;
use tower::service_fn;

use super::*;
use crate::handshake::HTTP2_PREFACE;

const HOUR: Duration = Duration::from_hours(1);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Answers nothing but 200.
fn service() -> impl HttpService {
    service_fn(async |_| Ok(Response::new(Body::empty())))
}

/// Connections that are never idle for long enough, and what says that the server is there.
fn connections() -> (Arc<Connections<impl HttpService>>, watch::Sender<bool>) {
    let settings = Settings { idle_timeout: Some(HOUR), ..Settings::default() };
    let (observer, (server, draining)) = (SharedObserver::default(), watch::channel(false));
    (Arc::new(Connections::new(service(), &settings, None, observer, draining)), server)
}

/// A client's end of a connection, and the server's end.
async fn connected() -> (TcpStream, TcpStream, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (tcp, peer) = listener.accept().await.unwrap();
    (client, tcp, peer)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_socket_that_is_served_has_its_options() {
    use std::os::fd::AsFd as _;

    let (mut client, tcp, peer) = connected().await;
    // The same socket.
    let accepted = socket2::Socket::from(tcp.as_fd().try_clone_to_owned().unwrap());
    let (connections, _server) = connections();
    let served = tokio::spawn(connections.serve(tcp, peer));
    client.write_all(REQUEST).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'H');

    assert!(accepted.tcp_nodelay().unwrap());
    assert_eq!(accepted.tcp_notsent_lowat().unwrap(), 128 * 1024);
    assert!(accepted.keepalive().unwrap());
    assert_eq!(accepted.tcp_keepalive_time().unwrap(), Duration::from_mins(1));
    assert_eq!(accepted.tcp_keepalive_interval().unwrap(), Duration::from_secs(20));
    served.abort();
}

/// The server drains when a connection was made and has had that many answers, and is then asked
/// once more. Such a call got no answer once, and a proxy does not ask again.
async fn asked_when_the_server_drains(answered_before: usize) -> String {
    let (connections, server) = connections();
    let mut connections = Arc::into_inner(connections).unwrap();
    connections.drain_grace = HOUR;
    let (mut client, tcp, peer) = connected().await;
    let served = tokio::spawn(Arc::new(connections).serve(tcp, peer));
    for _ in 0..answered_before {
        client.write_all(REQUEST).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        assert!(!String::from_utf8(head).unwrap().contains("connection: close"));
    }
    // So that the server is where it waits for more.
    tokio::task::yield_now().await;
    server.send(true).unwrap();
    client.write_all(REQUEST).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    drop(client);
    served.await.unwrap();
    answer
}

#[tokio::test]
async fn what_is_asked_as_a_drain_begins_is_answered_and_is_the_last() {
    for answered_before in [0, 1, 2] {
        let answer = asked_when_the_server_drains(answered_before).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answered_before}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{answered_before}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_asks_for_nothing_does_not_hold_up_a_drain() {
    for request in [&b""[..], REQUEST] {
        let began = Instant::now();
        let (connections, server) = connections();
        let other_end = connections.handshake_timeout;
        let (mut client, tcp, peer) = connected().await;
        let served = tokio::spawn(connections.serve(tcp, peer));
        client.write_all(request).await.unwrap();
        if !request.is_empty() {
            client.read_u8().await.unwrap();
        }
        server.send(true).unwrap();
        served.await.unwrap();
        assert!(began.elapsed() < other_end, "silence, idleness or age ended it");
    }
}

/// Pings that a peer gets until the connection ends, ten at most. Time is the runtime's own.
async fn pings(answers: bool) -> usize {
    let (connections, _server) = connections();
    let (mut peer, socket) = tokio::io::duplex(64 * 1024);
    let app = connections.app(SocketAddr::from(([127, 0, 0, 1], 1)), None);
    let served =
        tokio::spawn(async move { connections.http(socket, Version::Http2, app, |_| {}).await });
    // No settings.
    let beginning = [HTTP2_PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    peer.write_all(&beginning).await.unwrap();
    let mut pings = 0;
    let mut head = [0; 9];
    while pings < 10 && peer.read_exact(&mut head).await.is_ok() {
        let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
        peer.read_exact(&mut payload).await.unwrap();
        // PING, and not the answer to one: RFC 9113 section 6.7.
        if head[3] == 6 && head[4] == 0 {
            pings += 1;
            head[4] = 1;
            if answers {
                peer.write_all(&[&head[..], &payload].concat()).await.unwrap();
            }
        }
    }
    served.abort();
    pings
}

#[tokio::test(start_paused = true)]
async fn an_http2_peer_that_answers_no_ping_is_given_up_and_one_that_does_is_kept() {
    assert_eq!(pings(true).await, 10);
    let began = Instant::now();
    assert_eq!(pings(false).await, 1);
    assert!(began.elapsed() < HOUR, "it was only idle");
}
