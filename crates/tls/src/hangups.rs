//! SIGHUP, by which an operator asks a server to look at its files again.

use std::io;

/// SIGHUP, which asks a server to look at its files again. Once installed it no longer ends the process.
#[derive(Debug)]
pub(crate) struct Hangups(#[cfg(unix)] tokio::signal::unix::Signal);

impl Hangups {
    #[cfg(unix)]
    pub(crate) fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(signal(SignalKind::hangup())?))
    }

    #[cfg(unix)]
    pub(crate) async fn next(&mut self) {
        self.0.recv().await;
    }

    #[cfg(not(unix))]
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Self())
    }

    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) {
        std::future::pending::<()>().await;
    }
}
