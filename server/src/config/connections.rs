//! What connections may cost: how many there are, and how long each may take for what.

use std::time::Duration;

use clap::Args;
use runnel_limits::Limit;
use runnel_serve::Settings;

use super::numbers;

/// Five times what a search at each key needs, ten a second, for each who shares an address with others;
/// and less than the thousand that make Go's server close a connection.
const MAX_CANCELS_PER_ADDRESS: u32 = 500;

/// The bounds of connections on the public port.
#[derive(Args, Clone, Debug)]
pub struct ConnectionsConfig {
    /// Connections open at once, in all; one more is closed at once. 0 for no limit but that of open files.
    #[arg(
        long,
        env = "RUNNEL_MAX_CONNECTIONS",
        value_name = "CONNECTIONS",
        default_value_t = Self::default().max_connections
    )]
    pub max_connections: usize,

    /// Connections open at once for one client address (an IPv6 client is its /64); 0 for no limit of its own.
    #[arg(
        long,
        env = "RUNNEL_MAX_CONNECTIONS_PER_ADDRESS",
        value_name = "CONNECTIONS",
        default_value_t = Self::default().max_connections_per_address
    )]
    pub max_connections_per_address: usize,

    /// Calls that one client address (an IPv6 client is its /64) may cancel at once before they are
    /// answered; within ten seconds it may cancel as many again. 0 for any number. A backend may end the
    /// connection that all clients share for one of them that cancels too many.
    #[arg(
        long,
        env = "RUNNEL_MAX_CANCELS_PER_ADDRESS",
        value_name = "CALLS",
        default_value_t = MAX_CANCELS_PER_ADDRESS
    )]
    pub max_cancels_per_address: u32,

    /// How long a new connection may take to say what it speaks, a TLS handshake included.
    #[arg(
        long,
        env = "RUNNEL_HANDSHAKE_TIMEOUT",
        value_name = "DURATION",
        default_value = numbers::written(Self::default().handshake_timeout),
        value_parser = numbers::duration
    )]
    pub handshake_timeout: Duration,

    /// How large the head of a request may be, in bytes; over HTTP/2 each header counts 32 more. Above
    /// 32 KiB, a client over HTTP/1.1 that stops reading an answer costs that much more memory.
    #[arg(
        long,
        env = "RUNNEL_HEADER_LIMIT_BYTES",
        value_name = "BYTES",
        default_value_t = Self::default().header_limit_bytes,
        value_parser = numbers::size
    )]
    pub header_limit_bytes: usize,

    /// How long the head of an HTTP/1.1 request may take to come, from its first byte on.
    #[arg(
        long,
        env = "RUNNEL_HEADER_TIMEOUT",
        value_name = "DURATION",
        default_value = numbers::written(Self::default().header_timeout),
        value_parser = numbers::duration
    )]
    pub header_timeout: Duration,

    /// How long the request of a call may take to come, if the call's answer is a stream; unary calls
    /// have a deadline. 0s for as long as it takes.
    #[arg(
        long,
        env = "RUNNEL_REQUEST_TIMEOUT",
        value_name = "DURATION",
        default_value = numbers::written(Self::default().request_timeout),
        value_parser = numbers::duration_or_zero
    )]
    pub request_timeout: Duration,

    /// How long the client of a unary call may read nothing of its answer, of which it is given 32 KiB at a
    /// time; then the call is given up. 0s for as long as it likes.
    #[arg(
        long,
        env = "RUNNEL_ANSWER_TIMEOUT",
        value_name = "DURATION",
        default_value = numbers::written(Self::default().answer_timeout),
        value_parser = numbers::duration_or_zero
    )]
    pub answer_timeout: Duration,

    /// How long a connection may be without a call before it is closed; at most twice as long. 0s for
    /// ever.
    #[arg(
        long,
        env = "RUNNEL_IDLE_TIMEOUT",
        value_name = "DURATION",
        default_value = numbers::written(Self::default().idle_timeout),
        value_parser = numbers::duration_or_zero
    )]
    pub idle_timeout: Duration,

    /// How old a connection may grow before its client is asked to make a new one; up to a tenth more,
    /// so that not all come back at once. Its open calls go on. 0s for ever.
    #[arg(
        long,
        env = "RUNNEL_MAX_CONNECTION_AGE",
        value_name = "DURATION",
        default_value = numbers::written(Self::default().max_connection_age),
        value_parser = numbers::duration_or_zero
    )]
    pub max_connection_age: Duration,
}

impl ConnectionsConfig {
    /// How many there may be.
    pub(crate) fn limit(&self) -> Limit {
        numbers::limit(self.max_connections, self.max_connections_per_address)
    }

    /// What the server of the public port is told, which drains for so long at most.
    pub(super) fn settings(&self, drain_deadline: Duration) -> Settings {
        let mut settings = Settings::default();
        settings.connections = self.limit();
        settings.handshake_timeout = self.handshake_timeout;
        settings.header_limit_bytes = self.header_limit_bytes;
        settings.header_timeout = self.header_timeout;
        settings.response_read_timeout = numbers::unless_zero(self.answer_timeout);
        settings.idle_timeout = numbers::unless_zero(self.idle_timeout);
        settings.max_connection_age = numbers::unless_zero(self.max_connection_age);
        settings.drain_deadline = drain_deadline;
        settings
    }
}

impl Default for ConnectionsConfig {
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            max_connections: settings.connections.total,
            max_connections_per_address: settings.connections.per_address,
            max_cancels_per_address: MAX_CANCELS_PER_ADDRESS,
            handshake_timeout: settings.handshake_timeout,
            header_limit_bytes: settings.header_limit_bytes,
            header_timeout: settings.header_timeout,
            request_timeout: Duration::from_mins(1),
            answer_timeout: settings.response_read_timeout.unwrap_or_default(),
            idle_timeout: settings.idle_timeout.unwrap_or_default(),
            max_connection_age: settings.max_connection_age.unwrap_or_default(),
        }
    }
}
