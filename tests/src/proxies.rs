//! Real proxies in front of servers, as an operator would put them there: by the configurations in
//! docs/OPERATING.md, or by one of a test's own.

use std::{net::SocketAddr, path::Path, process::Stdio};

use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

use crate::{path_from_env, patiently};

/// A running proxy, killed when dropped.
pub struct Proxy {
    _child: Child,
    _folder: TempDir,
}

impl Proxy {
    /// nginx, with this in its `http` block; back when it listens at `address`.
    pub async fn nginx(http: &str, address: SocketAddr) -> Self {
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|of| format!("{of}_temp_path {of};"))
            .concat();
        let configuration = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr;
             events {{ worker_connections 512; }}
             http {{ access_log off; {temporary} {http} }}"
        );
        let command = |folder: &Path| {
            let mut nginx = Command::new(path_from_env("RUNNEL_NGINX"));
            nginx.arg("-p").arg(folder).args(["-c", "proxy.conf", "-e", "stderr"]);
            nginx
        };
        Self::start("nginx", &configuration, command, address).await
    }

    /// `HAProxy`, with this configuration; back when it listens at `address`.
    pub async fn haproxy(configuration: &str, address: SocketAddr) -> Self {
        let command = |folder: &Path| {
            let mut haproxy = Command::new(path_from_env("RUNNEL_HAPROXY"));
            haproxy.arg("-db").arg("-f").arg(folder.join("proxy.conf"));
            haproxy
        };
        Self::start("HAProxy", configuration, command, address).await
    }

    /// Caddy, with this Caddyfile; back when it listens at `address`.
    pub async fn caddy(configuration: &str, address: SocketAddr) -> Self {
        let command = |folder: &Path| {
            let mut caddy = Command::new(path_from_env("RUNNEL_CADDY"));
            caddy
                .args(["run", "--adapter", "caddyfile", "--config"])
                .arg(folder.join("proxy.conf"));
            // It keeps what it did last.
            for home in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
                caddy.env(home, folder);
            }
            caddy
        };
        Self::start("Caddy", configuration, command, address).await
    }

    async fn start(
        what: &str,
        configuration: &str,
        command: impl FnOnce(&Path) -> Command,
        address: SocketAddr,
    ) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        std::fs::write(folder.path().join("proxy.conf"), configuration).expect("write");
        let child = command(folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("start {what}: {error}"));
        patiently(what, async {
            while TcpStream::connect(address).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        Self { _child: child, _folder: folder }
    }
}

/// Where a proxy is to listen: it takes a port by number only, so one that was free a moment ago.
pub async fn free_address() -> SocketAddr {
    let address = TcpListener::bind("127.0.0.1:0").await.and_then(|free| free.local_addr());
    address.expect("a free port")
}
