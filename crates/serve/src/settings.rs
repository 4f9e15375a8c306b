//! What a server may be told.

use std::time::Duration;

use runnel_limits::Limit;

/// What each connection may cost, and how long a drain may take.
///
/// The defaults are fit for a server that faces the internet:
///
/// ```
/// # use std::time::Duration;
/// let mut settings = runnel_serve::Settings::default();
/// settings.drain_deadline = Duration::from_secs(30);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Connections open at once. One more is closed at once. 10,000 in all, 1,024 for one client address.
    pub connections: Limit,
    /// How long a new connection may take to say what it speaks, a TLS handshake included. 10 seconds.
    pub handshake_timeout: Duration,
    /// How large the head of a request may be, in bytes; over HTTP/2 each header counts 32 more (RFC 9113
    /// section 6.5.2). 32 KiB: more than browsers and proxies send in cookies and tokens.
    pub header_limit_bytes: usize,
    /// How long the head of an HTTP/1.1 request may take to come, from its first byte on. A minute.
    pub header_timeout: Duration,
    /// How long a client may read nothing of a response that is marked with [`MustBeRead`], of which it is
    /// given 32 KiB at a time; then the connection, or over HTTP/2 the stream, is ended. 30 seconds; None
    /// for no limit. Other responses may wait for their readers for ever.
    ///
    /// [`MustBeRead`]: runnel_limits::MustBeRead
    pub response_read_timeout: Option<Duration>,
    /// How long a connection may be without a request that is being answered; then it is closed, at the
    /// latest after twice this time. 5 minutes; None for no limit.
    pub idle_timeout: Option<Duration>,
    /// How old a connection may grow before its client is asked to make a new one; up to a tenth more, so
    /// that not all clients come back at the same time. Its open requests are answered all the same. An
    /// hour; None for no limit.
    pub max_connection_age: Option<Duration>,
    /// How long open requests may go on once a drain has begun. 10 seconds.
    pub drain_deadline: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections: Limit { total: 10_000, per_address: 1024 },
            handshake_timeout: Duration::from_secs(10),
            header_limit_bytes: 32 * 1024,
            header_timeout: Duration::from_mins(1),
            response_read_timeout: Some(Duration::from_secs(30)),
            idle_timeout: Some(Duration::from_mins(5)),
            max_connection_age: Some(Duration::from_hours(1)),
            drain_deadline: Duration::from_secs(10),
        }
    }
}
