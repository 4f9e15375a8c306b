//! The signals that end the process: the first drains, the second ends it at once. And those that would
//! end it by the system's habit, and must not: they are sent to servers that read files or write logs.

use std::{future::Future, io, process};

use crate::telemetry;

/// Resolves at the first SIGTERM or SIGINT (Ctrl-C elsewhere than on Unix). From then on the next one
/// ends the process with exit code 1, whatever it is doing.
///
/// Until then SIGHUP, SIGUSR1 and SIGUSR2 do nothing but write a line to the log; code that has files to read
/// again listens for SIGHUP itself. SIGQUIT still ends the process: who sends it wants that.
///
/// The handlers are installed when this is called, not when the future is first polled, so that no
/// signal is missed.
pub fn shutdown() -> io::Result<impl Future<Output = ()>> {
    let (mut signals, mut harmless) = (Signals::install()?, Harmless::install()?);
    Ok(async move {
        tokio::select! {
            () = signals.next() => {}
            () = harmless.tell() => {}
        }
        tokio::spawn(async move {
            signals.next().await;
            tracing::warn!("second signal: ending at once");
            telemetry::finish();
            process::exit(1);
        });
    })
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }
}

#[cfg(unix)]
struct Harmless([(&'static str, tokio::signal::unix::Signal); 3]);

#[cfg(unix)]
impl Harmless {
    fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self([
            (
                "SIGHUP: certificates are looked at again, if there are any",
                signal(SignalKind::hangup())?,
            ),
            ("SIGUSR1: it has no meaning here", signal(SignalKind::user_defined1())?),
            ("SIGUSR2: it has no meaning here", signal(SignalKind::user_defined2())?),
        ]))
    }

    /// Says that one came, for ever.
    async fn tell(&mut self) {
        let [hangup, first, second] = &mut self.0;
        loop {
            let said = tokio::select! {
                _ = hangup.1.recv() => hangup.0,
                _ = first.1.recv() => first.0,
                _ = second.1.recv() => second.0,
            };
            tracing::info!("{said}");
        }
    }
}

#[cfg(not(unix))]
struct Harmless;

#[cfg(not(unix))]
impl Harmless {
    fn install() -> io::Result<Self> {
        Ok(Self)
    }

    async fn tell(&mut self) {
        std::future::pending().await
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        // An Err says that no handler could be installed; then no Ctrl-C will ever be seen.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
