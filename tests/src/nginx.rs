//! A real nginx before several servers, as an operator would put it there.

use std::{net::SocketAddr, process::Stdio};

use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

use crate::{path_from_env, patiently};

/// A running nginx, killed when dropped.
pub struct Nginx {
    _child: Child,
    _folder: TempDir,
    address: SocketAddr,
}

impl Nginx {
    /// Starts it before `servers`, between which it chooses.
    pub async fn start(servers: &[SocketAddr]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        // It takes a port by number only, so one that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").await.and_then(|free| free.local_addr());
        let address = address.expect("a free port");
        let upstream: Vec<_> =
            servers.iter().map(|server| format!("server {server} max_fails=0;")).collect();
        let upstream = upstream.concat();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|of| format!("{of}_temp_path {of};"))
            .concat();
        let configuration = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr;
             events {{ worker_connections 512; }}
             http {{
                 access_log off; {temporary}
                 upstream runnel {{ {upstream} }}
                 server {{
                     listen {address} sndbuf=64k;
                     location / {{
                         proxy_pass http://runnel;
                         proxy_http_version 1.1;
                         proxy_set_header Connection \"\";
                         proxy_set_header Host $http_host;
                     }}
                 }}
             }}"
        );
        std::fs::write(folder.path().join("nginx.conf"), configuration).expect("write");
        let child = Command::new(path_from_env("RUNNEL_NGINX"))
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("start nginx");
        let nginx = Self { _child: child, _folder: folder, address };
        patiently("nginx", async {
            while TcpStream::connect(address).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        nginx
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
