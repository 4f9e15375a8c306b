//! The limits of connections: how many may be open, and how long each step of one may take.

use std::time::Duration;

use clap::Args;
use runnel_limits::Limit;
use runnel_rpc::Limits;
use runnel_serve::Settings;

use super::numbers;

/// The bounds of connections on the public port.
#[derive(Args, Clone, Debug)]
pub struct ConnectionsConfig {
    /// Open connections, in all; one more is closed at once. 0 for no limit except that of open files.
    #[arg(
        long,
        env = "RUNNEL_MAX_CONNECTIONS",
        value_name = "CONNECTIONS",
        default_value_t = Self::default().max_connections
    )]
    pub max_connections: usize,

    /// Open connections of one client address (for IPv6, a /64). 0 for no limit.
    #[arg(
        long,
        env = "RUNNEL_MAX_CONNECTIONS_PER_ADDRESS",
        value_name = "CONNECTIONS",
        default_value_t = Self::default().max_connections_per_address
    )]
    pub max_connections_per_address: usize,

    /// Calls that one client address (for IPv6, a /64) may cancel before their response; as many again are
    /// allowed in every ten seconds. 0 for no limit. Without a limit, one client that cancels too many calls can
    /// make a backend close the connection that all clients share.
    #[arg(
        long,
        env = "RUNNEL_MAX_CANCELS_PER_ADDRESS",
        value_name = "CALLS",
        default_value_t = Limits::default().cancels_per_address
    )]
    pub max_cancels_per_address: u32,

    /// How long a new connection may take for the TLS handshake and the first bytes of HTTP.
    #[arg(
        long,
        env = "RUNNEL_HANDSHAKE_TIMEOUT",
        value_name = "DURATION",
        default_value = numbers::written(Self::default().handshake_timeout),
        value_parser = numbers::duration
    )]
    pub handshake_timeout: Duration,

    /// The largest head of a request, in bytes; over HTTP/2 each header counts 32 bytes more. Above 32 KiB, an
    /// HTTP/1.1 client that stops reading a response costs that much more memory.
    #[arg(
        long,
        env = "RUNNEL_HEADER_LIMIT_BYTES",
        value_name = "BYTES",
        default_value_t = Self::default().header_limit_bytes,
        value_parser = numbers::size
    )]
    pub header_limit_bytes: usize,

    /// How long the head of an HTTP/1.1 request may take to arrive, from its first byte.
    #[arg(
        long,
        env = "RUNNEL_HEADER_TIMEOUT",
        value_name = "DURATION",
        default_value = numbers::written(Self::default().header_timeout),
        value_parser = numbers::duration
    )]
    pub header_timeout: Duration,

    /// How long the request of a call may take to arrive, if the response is a stream; for unary calls see
    /// --unary-deadline. 0s for no limit.
    #[arg(
        long,
        env = "RUNNEL_REQUEST_TIMEOUT",
        value_name = "DURATION",
        default_value = numbers::written(Self::default().request_timeout),
        value_parser = numbers::duration_or_zero
    )]
    pub request_timeout: Duration,

    /// How long the client of a unary call may take to read the next 32 KiB of the response before the call
    /// ends. 0s for no limit.
    #[arg(
        long,
        env = "RUNNEL_ANSWER_TIMEOUT",
        value_name = "DURATION",
        default_value = numbers::written(Self::default().answer_timeout),
        value_parser = numbers::duration_or_zero
    )]
    pub answer_timeout: Duration,

    /// How long a connection may be without a call before it is closed; it may take up to twice as long. 0s for
    /// no limit.
    #[arg(
        long,
        env = "RUNNEL_IDLE_TIMEOUT",
        value_name = "DURATION",
        default_value = numbers::written(Self::default().idle_timeout),
        value_parser = numbers::duration_or_zero
    )]
    pub idle_timeout: Duration,

    /// The age at which a client is asked to open a new connection; up to a tenth more, so that not all
    /// clients return at once. Open calls go on. 0s for no limit.
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
    /// How many connections may be open.
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
        let (settings, calls) = (Settings::default(), Limits::default());
        Self {
            max_connections: settings.connections.total,
            max_connections_per_address: settings.connections.per_address,
            max_cancels_per_address: calls.cancels_per_address,
            handshake_timeout: settings.handshake_timeout,
            header_limit_bytes: settings.header_limit_bytes,
            header_timeout: settings.header_timeout,
            request_timeout: calls.request_timeout.unwrap_or_default(),
            answer_timeout: settings.response_read_timeout.unwrap_or_default(),
            idle_timeout: settings.idle_timeout.unwrap_or_default(),
            max_connection_age: settings.max_connection_age.unwrap_or_default(),
        }
    }
}
