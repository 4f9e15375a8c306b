//! [`Connection`]: how a stream stands with its server.

use std::time::Duration;

/// How a stream stands with its server, while it is neither at its end nor given up.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// The server is being asked, for the first time or again.
    Connecting,
    /// The server answers.
    Live {
        /// How often the stream had to be resumed so far.
        resumed: u32,
    },
    /// It broke, and is resumed after this time.
    Resuming {
        /// How long from now.
        delay: Duration,
    },
    /// It broke, and is resumed when there is a network again.
    Offline,
}
