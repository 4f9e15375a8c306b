//! How long a connection may rest, and what a client over HTTP/1.1 is told of it.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use http::HeaderValue;
use tokio::time::sleep;

use super::calls::Calls;

/// How much sooner than we close a connection its client is told to expect that: an answer may take as
/// long to reach it, and its next request to come here.
const MARGIN: Duration = Duration::from_secs(5);

/// Resolves when there was no call for `timeout`, or up to twice as long: a clock looked at for each call
/// would cost more than it is worth.
pub(super) async fn idle(calls: &Calls, timeout: Duration) {
    let mut before = calls.so_far();
    loop {
        sleep(timeout).await;
        let now = calls.so_far();
        if now == before && now.open == 0 {
            return;
        }
        before = now;
    }
}

/// What `keep-alive` says over HTTP/1.1 of a connection that rests for `timeout` at least. With so little
/// that it would be nothing, it says nothing.
pub(super) fn keep_alive(timeout: Duration) -> Option<HeaderValue> {
    let seconds = timeout.saturating_sub(MARGIN).as_secs();
    (seconds > 0).then(|| HeaderValue::try_from(format!("timeout={seconds}")).ok()).flatten()
}

/// Up to a tenth more, so that connections made together do not end together.
pub(super) fn with_jitter(age: Duration) -> Duration {
    // Every state hashes differently: all the randomness that this needs.
    let random = RandomState::new().hash_one(()) % 1000;
    let thousandth_of_a_tenth = age / 10_000;
    // Below a thousand, by the line above.
    age.saturating_add(thousandth_of_a_tenth * u32::try_from(random).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use http::Response;
    use tokio::{
        io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream},
        sync::watch,
        time::Instant,
    };
    use tonic::body::Body;
    use tower::service_fn;

    use super::*;
    use crate::{
        config::ConnectionsConfig,
        metrics::ConnectionMetrics,
        net::{connection::Connections, handshake::Version, http::Answers},
    };

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

    /// Answers nothing but 200.
    fn answers() -> impl Answers {
        service_fn(async |_| Ok(Response::new(Body::empty())))
    }

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn jitter_is_a_tenth_at_most_and_differs() {
        let ages: Vec<_> = (0..100).map(|_| with_jitter(HOUR)).collect();
        assert!(ages.iter().all(|age| (HOUR..HOUR + HOUR / 10).contains(age)), "{ages:?}");
        assert!(ages.iter().any(|age| *age != ages[0]));
        assert_eq!(with_jitter(Duration::MAX), Duration::MAX);
    }

    #[test]
    fn a_client_is_told_of_somewhat_less_rest_than_there_is() {
        assert_eq!(keep_alive(Duration::from_mins(5)).unwrap(), "timeout=295");
        assert_eq!(keep_alive(Duration::from_millis(6900)).unwrap(), "timeout=1");
        for short in [Duration::ZERO, Duration::from_secs(1), MARGIN] {
            assert_eq!(keep_alive(short), None, "{short:?}");
        }
    }

    /// Asks over HTTP/1.1 and reads the head of the answer; None if the connection has ended.
    async fn ask(client: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<String> {
        client.write_all(REQUEST).await.ok()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.ok()?);
        }
        String::from_utf8(head).ok()
    }

    /// A client over HTTP/1.1 of connections that are as by default.
    fn client_over_http1(config: &ConnectionsConfig) -> (DuplexStream, watch::Sender<bool>) {
        let metrics = ConnectionMetrics::uncounted().unwrap();
        let (server, draining) = watch::channel(false);
        let connections = Connections::new(answers(), config, None, metrics, draining);
        let (client, socket) = tokio::io::duplex(64 * 1024);
        let app = connections.app(SocketAddr::from(([127, 0, 0, 1], 1)), None);
        tokio::spawn(async move { connections.http(socket, Version::Http1, app, |_| {}).await });
        (client, server)
    }

    /// Load balancers keep theirs for a minute: nothing may be asked on one that is just being closed.
    #[tokio::test(start_paused = true)]
    async fn a_connection_over_http1_may_rest_for_as_long_as_it_was_told() {
        let (mut client, _server) = client_over_http1(&ConnectionsConfig::default());
        for _ in 0..3 {
            let head = ask(&mut client).await.unwrap();
            let (_, told) = head.split_once("keep-alive: timeout=").unwrap();
            assert!(head.contains("connection: keep-alive\r\n"), "{head}");
            let seconds = told.split_once("\r\n").unwrap().0.parse().unwrap();
            assert!(seconds > 75, "{seconds}");
            sleep(Duration::from_secs(seconds)).await;
        }
        assert!(ask(&mut client).await.is_some());
        sleep(2 * ConnectionsConfig::default().idle_timeout).await;
        assert!(ask(&mut client).await.is_none(), "it is closed in the end");
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_from_its_first_byte_on_whatever_came_before() {
        let config = ConnectionsConfig::default();
        let (mut client, _server) = client_over_http1(&config);
        ask(&mut client).await.unwrap();
        sleep(config.idle_timeout / 2).await;
        client.write_all(&REQUEST[..10]).await.unwrap();
        sleep(config.header_timeout.saturating_sub(Duration::from_secs(1))).await;
        client.write_all(&REQUEST[10..20]).await.unwrap();
        let began = Instant::now();
        assert_eq!(client.read(&mut [0; 16]).await.unwrap_or_default(), 0, "it is closed");
        assert_eq!(began.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_connection_over_http1_is_closed_behind_an_answer_that_says_so() {
        let max_connection_age = Duration::from_mins(1);
        let config = ConnectionsConfig { max_connection_age, ..ConnectionsConfig::default() };
        let (mut client, _server) = client_over_http1(&config);
        ask(&mut client).await.unwrap();
        sleep(2 * max_connection_age).await;
        let last =
            ask(&mut client).await.expect("an answer to what was asked of an old connection");
        assert!(last.contains("connection: close\r\n") && !last.contains("keep-alive"), "{last}");
        assert!(ask(&mut client).await.is_none());
    }
}
