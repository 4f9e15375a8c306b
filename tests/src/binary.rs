//! The release binary, page embedded, as a child process: what people run.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::{ExitStatus, Stdio},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, Command},
};

use crate::{path_from_env, patiently};

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A running `runnel`, killed when dropped.
pub struct Binary {
    child: Child,
    logs: Lines<BufReader<ChildStderr>>,
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    scheme: &'static str,
    args: Vec<String>,
    beginning: Vec<Value>,
}

/// A command for the binary that `cargo xtask test` built.
pub fn command() -> Command {
    command_for(&path_from_env("RUNNEL_BIN"))
}

fn command_for(program: &Path) -> Command {
    let mut command = Command::new(program);
    // The tests' own environment must not configure the server.
    for (name, _) in std::env::vars_os() {
        let runnels_own = name
            .to_str()
            .is_some_and(|name| name.starts_with("RUNNEL_") || name.starts_with("BACKEND_"));
        if runnels_own || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    // Two servers cannot both have the default port; a flag of the test's own comes before this.
    command.env("RUNNEL_ADMIN_LISTEN", "127.0.0.1:0");
    command.kill_on_drop(true);
    command
}

impl Binary {
    /// Starts it on a free port with JSON logs and waits until it says where it listens.
    pub async fn start(args: &[&str]) -> Self {
        Self::launch(command(), ANY_PORT, args).await
    }

    /// The same with another binary.
    pub async fn start_program(program: &Path, args: &[&str]) -> Self {
        Self::launch(command_for(program), ANY_PORT, args).await
    }

    /// The same in a shell that runs something first: `ulimit`, say.
    pub async fn start_after(first: &str, args: &[&str]) -> Self {
        let mut shell = command_for(Path::new("sh"));
        shell
            .args(["-c", &format!("{first} && exec \"$0\" \"$@\"")])
            .arg(path_from_env("RUNNEL_BIN"));
        Self::launch(shell, ANY_PORT, args).await
    }

    /// Another one where this was, with the same arguments.
    pub async fn start_again(&self) -> Self {
        let args: Vec<_> = self.args.iter().map(String::as_str).collect();
        Self::launch(command(), self.address, &args).await
    }

    async fn launch(mut command: Command, address: SocketAddr, args: &[&str]) -> Self {
        if !args.contains(&"--listen") {
            command.args(["--listen", &address.to_string()]);
        }
        let mut child = command
            .args(["--log-format", "json"])
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the binary");
        let logs = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
        let args = args.iter().map(ToString::to_string).collect();
        let (admin_address, scheme, beginning) = (None, "http", Vec::new());
        let mut binary = Self { child, logs, address, admin_address, scheme, args, beginning };
        let (mut admin_address, mut beginning) = (None, Vec::new());
        (binary.scheme, binary.address) = binary
            .log("the listen address", |line| {
                beginning.push(line.clone());
                let after = |words| line["message"].as_str()?.strip_prefix(words)?.parse().ok();
                admin_address = admin_address.or(after("admin on http://"));
                let tls = after("listening on https://").map(|address| ("https", address));
                tls.or(after("listening on http://").map(|address| ("http", address)))
            })
            .await;
        (binary.admin_address, binary.beginning) = (admin_address, beginning);
        binary
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its admin port is, if it has one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// `http`, or `https` if it was told of a certificate.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Its URL without a path.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// What it logged until it listened.
    pub fn beginning_of_log(&self) -> &[Value] {
        &self.beginning
    }

    /// Reads its log until a line gives what is looked for.
    pub async fn log<T>(&mut self, what: &str, mut find: impl FnMut(&Value) -> Option<T>) -> T {
        patiently(what, async {
            loop {
                let line = self.logs.next_line().await.expect("a readable log");
                let line = line.unwrap_or_else(|| panic!("the log ended before {what}"));
                let line: Value = serde_json::from_str(&line)
                    .unwrap_or_else(|error| panic!("not a JSON log line ({error}): {line}"));
                if let Some(found) = find(&line) {
                    return found;
                }
            }
        })
        .await
    }

    /// Reads its log to the end.
    pub async fn rest_of_log(&mut self) -> Vec<Value> {
        let mut lines = Vec::new();
        while let Some(line) = self.logs.next_line().await.expect("a readable log") {
            lines.push(serde_json::from_str(&line).expect("a JSON log line"));
        }
        lines
    }

    /// Reads its log until a call of `method` is over; gives the line.
    pub async fn call_line(&mut self, method: &str) -> Value {
        let path = format!("/api.Api/{method}");
        self.log(&format!("the end of {method}"), |line| {
            (line["message"] == "call" && line["method"] == path.as_str()).then(|| line.clone())
        })
        .await
    }

    /// Sends a signal, by its name without `SIG`.
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it still runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await.expect("run kill");
        assert!(sent.success(), "kill -s {name} failed");
    }

    /// Waits for its end.
    pub async fn exit(&mut self) -> ExitStatus {
        patiently("the exit", self.child.wait()).await.expect("wait for the child")
    }
}
