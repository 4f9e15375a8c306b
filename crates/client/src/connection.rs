//! [`Connection`]: the state of a stream's connection to its server.

use std::time::Duration;

/// The state of a stream's connection to its server, while the stream is neither at its end nor given up.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// A call was sent, for the first time or again, and its response has not begun.
    Connecting,
    /// The response has begun.
    Live {
        /// How often the stream had to be resumed so far.
        resumed: u32,
    },
    /// The connection broke, and the stream is resumed after this time.
    Resuming {
        /// The time from now.
        delay: Duration,
    },
    /// The connection broke, and the stream is resumed when there is a network again.
    Offline,
}
