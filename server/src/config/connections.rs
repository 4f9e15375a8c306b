//! What connections may cost: how many there are, and how long each may take for what.

use std::time::Duration;

use clap::Args;
use runnel_limits::Limit;
use runnel_rpc::Limits;

use super::numbers;

/// The largest head of a request, in bytes: more than browsers and proxies send in cookies and tokens.
const HEADER_LIMIT_BYTES: usize = 32 * 1024;

/// The bounds of connections on the public port.
#[derive(Args, Clone, Debug)]
pub struct ConnectionsConfig {
    /// Connections open at once, in all; one more is closed at once. 0 for no limit but that of open files.
    #[arg(
        long,
        env = "RUNNEL_MAX_CONNECTIONS",
        value_name = "CONNECTIONS",
        default_value_t = 10_000
    )]
    pub max_connections: usize,

    /// Connections open at once for one client address (an IPv6 client is its /64); 0 for no limit of its own.
    #[arg(
        long,
        env = "RUNNEL_MAX_CONNECTIONS_PER_ADDRESS",
        value_name = "CONNECTIONS",
        default_value_t = 1024
    )]
    pub max_connections_per_address: usize,

    /// Calls that one client address (an IPv6 client is its /64) may cancel at once before they are
    /// answered; within ten seconds it may cancel as many again. 0 for any number. A backend may end the
    /// connection that all clients share for one of them that cancels too many.
    #[arg(
        long,
        env = "RUNNEL_MAX_CANCELS_PER_ADDRESS",
        value_name = "CALLS",
        default_value_t = Limits::default().cancels_per_address
    )]
    pub max_cancels_per_address: u32,

    /// How long a new connection may take to say what it speaks, a TLS handshake included.
    #[arg(
        long,
        env = "RUNNEL_HANDSHAKE_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = numbers::duration
    )]
    pub handshake_timeout: Duration,

    /// How large the head of a request may be, in bytes; over HTTP/2 each header counts 32 more. Above
    /// 32 KiB, a client over HTTP/1.1 that stops reading an answer costs that much more memory.
    #[arg(
        long,
        env = "RUNNEL_HEADER_LIMIT_BYTES",
        value_name = "BYTES",
        default_value_t = HEADER_LIMIT_BYTES,
        value_parser = size
    )]
    pub header_limit_bytes: usize,

    /// How long the head of an HTTP/1.1 request may take to come, from its first byte on.
    #[arg(
        long,
        env = "RUNNEL_HEADER_TIMEOUT",
        value_name = "DURATION",
        default_value = "60s",
        value_parser = numbers::duration
    )]
    pub header_timeout: Duration,

    /// How long the request of a call may take to come, if the call's answer is a stream; unary calls
    /// have a deadline. 0s for as long as it takes.
    #[arg(
        long,
        env = "RUNNEL_REQUEST_TIMEOUT",
        value_name = "DURATION",
        default_value = "60s",
        value_parser = numbers::duration_or_zero
    )]
    pub request_timeout: Duration,

    /// How long the client of a unary call may read nothing of its answer, of which it is given 32 KiB at a
    /// time; then the call is given up. 0s for as long as it likes.
    #[arg(
        long,
        env = "RUNNEL_ANSWER_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = numbers::duration_or_zero
    )]
    pub answer_timeout: Duration,

    /// How long a connection may be without a call before it is closed; at most twice as long. 0s for
    /// ever.
    #[arg(
        long,
        env = "RUNNEL_IDLE_TIMEOUT",
        value_name = "DURATION",
        default_value = "5m",
        value_parser = numbers::duration_or_zero
    )]
    pub idle_timeout: Duration,

    /// How old a connection may grow before its client is asked to make a new one; up to a tenth more,
    /// so that not all come back at once. Its open calls go on. 0s for ever.
    #[arg(
        long,
        env = "RUNNEL_MAX_CONNECTION_AGE",
        value_name = "DURATION",
        default_value = "1h",
        value_parser = numbers::duration_or_zero
    )]
    pub max_connection_age: Duration,
}

impl ConnectionsConfig {
    /// How many there may be.
    pub(crate) fn limit(&self) -> Limit {
        numbers::limit(self.max_connections, self.max_connections_per_address)
    }

    /// How long one may be without a call.
    pub(crate) fn idle_timeout(&self) -> Duration {
        numbers::or_longest(self.idle_timeout)
    }

    /// How long the client of a unary call may read nothing of its answer.
    pub(crate) fn answer_timeout(&self) -> Option<Duration> {
        numbers::unless_zero(self.answer_timeout)
    }

    /// How old one may grow.
    pub(crate) fn max_age(&self) -> Duration {
        numbers::or_longest(self.max_connection_age)
    }
}

/// A number of bytes that is more than nothing.
fn size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("zero makes no sense here: write a number of bytes".to_owned()),
        parsed => parsed.map_err(|error: std::num::ParseIntError| error.to_string()),
    }
}

impl Default for ConnectionsConfig {
    fn default() -> Self {
        let calls = Limits::default();
        Self {
            max_connections: 10_000,
            max_connections_per_address: 1024,
            max_cancels_per_address: calls.cancels_per_address,
            handshake_timeout: Duration::from_secs(10),
            header_limit_bytes: HEADER_LIMIT_BYTES,
            header_timeout: Duration::from_mins(1),
            request_timeout: calls.request_timeout.unwrap_or_default(),
            answer_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(5),
            max_connection_age: Duration::from_hours(1),
        }
    }
}
