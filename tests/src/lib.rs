//! What the tests stand on: the production server in this process ([`server`]), the release binary as
//! a child ([`binary`]), calls framed by hand ([`wire`]), peers in Python ([`python`]) and Go ([`go`]), a real browser
//! ([`browser`], [`page`]) and a reader of metrics ([`metrics`]). [`waiting`] answers the contract so slowly that
//! one can watch a call end, [`fault_proxy`] breaks the connections that pass through it, and [`proxies`] are
//! those that mean well.
//!
//! Everything binds port 0 and everything is waited for: no fixed port, no sleep. What cannot be done
//! fails the test, with words.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a panic is how a test fails, and these functions are for tests only"
)]

pub mod binary;
pub mod browser;
pub mod fault_proxy;
pub mod go;
pub mod http2;
pub mod metrics;
pub mod nginx;
pub mod page;
pub mod proxies;
pub mod python;
pub mod server;
pub mod tls;
pub mod transport;
pub mod waiting;
pub mod wire;

use std::{env, path::PathBuf, time::Duration};

/// How long anything may take before a test gives up on it. Generous: it is there to end a test that
/// hangs, never to measure.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A path that `cargo xtask test` found or built, by the name of its environment variable.
pub fn path_from_env(name: &str) -> PathBuf {
    let Some(path) = env::var_os(name) else {
        panic!("{name} is not set: run the tests through `cargo xtask test`, which provides it");
    };
    path.into()
}

/// A program: the path in the environment variable, or what PATH has by one of the names.
pub fn program(variable: &str, names: &[&str]) -> PathBuf {
    if let Some(path) = env::var_os(variable) {
        return path.into();
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = env::split_paths(&folders).collect();
    let exe = |name: &&str| format!("{name}{}", env::consts::EXE_SUFFIX);
    let mut files =
        names.iter().map(exe).flat_map(|name| folders.iter().map(move |f| f.join(&name)));
    let found = files.find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("PATH has no {}; set {variable} to one", names.join(", ")))
}

/// Waits for something that must come.
pub async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, future).await;
    outcome.unwrap_or_else(|late| panic!("{what} did not happen within {PATIENCE:?}: {late}"))
}
