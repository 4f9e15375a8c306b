//! Python peers: `grpcio`, the library of the original service, in the environment that
//! `cargo xtask test` makes.

use std::{path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
};

use crate::{path_from_env, patiently};

/// A Python program of `tests/python`, able to import what is there.
fn program(name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(path_from_env("RUNNEL_PYTHON"));
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name))
        .args(args)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .kill_on_drop(true);
    command
}

/// Runs a program to its end and gives what it printed.
pub async fn run(name: &str, args: &[&str]) -> String {
    let output = patiently(name, program(name, args).output()).await.expect("start Python");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} failed: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A program that serves: it prints its port, then serves until it is dropped.
pub struct PythonServer {
    child: Child,
    /// Where it listens on loopback.
    pub port: u16,
}

/// Starts a program that serves.
pub async fn serve(name: &str) -> PythonServer {
    serve_with(name, &[]).await
}

/// Starts a program that serves, with arguments.
pub async fn serve_with(name: &str, args: &[&str]) -> PythonServer {
    let mut command = program(name, args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start Python");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let line = patiently("the server's port", lines.next_line()).await.expect("a readable stdout");
    let port = line.expect("a line with the port").parse().expect("a port");
    PythonServer { child, port }
}

impl PythonServer {
    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Writes a line to its standard input.
    pub async fn tell(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("stdin is piped");
        stdin.write_all(format!("{line}\n").as_bytes()).await.expect("it reads its input");
    }

    /// Sends a signal, by its name without `SIG`.
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it still runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await.expect("run kill");
        assert!(sent.success(), "kill -s {name} failed");
    }

    /// Kills it, and waits until it is gone.
    pub async fn kill(mut self) {
        patiently("the end of the server", self.child.kill()).await.expect("kill the server");
    }
}
