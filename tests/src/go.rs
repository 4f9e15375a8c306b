//! A backend in Go: the program of `tests/go`, which `cargo xtask test` builds.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::{path_from_env, patiently};

/// Whose transport the backend has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// grpc-go's own.
    Grpc,
    /// `net/http`, which connect-go stands on: one window for a stream and for its connection.
    NetHttp,
}

/// A backend that serves until it is dropped.
pub struct GoServer {
    _child: Child,
    /// Where it listens on loopback.
    pub port: u16,
}

/// Starts a backend, with arguments; see `tests/go/main.go`. It serves `api.Api`, `rich.Rich` and health,
/// and over `net/http` `/test.Http/ReadNothing` and `/test.Http/Slow` too.
pub async fn serve(transport: Transport, args: &[&str]) -> GoServer {
    let transport = match transport {
        Transport::Grpc => "grpc",
        Transport::NetHttp => "http",
    };
    let mut child = Command::new(path_from_env("RUNNEL_GO_BACKENDS"))
        .args(["--server", transport])
        .args(args)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("start the Go backend");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let line = patiently("the server's port", lines.next_line()).await.expect("a readable stdout");
    let port = line.expect("a line with the port").parse().expect("a port");
    GoServer { _child: child, port }
}

impl GoServer {
    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
