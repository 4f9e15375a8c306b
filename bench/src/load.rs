//! Thousands of open streams whose readers are slow, or have stopped: what each costs the server, and
//! whether a drain under them loses a unary call that was admitted.

use std::{
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet, time::sleep};

use crate::{
    client::{Caller, Wire},
    contract::Call,
    memory::{self, Stall},
    process::Server,
    report::{Row, Table},
    run::{self, Effort},
    tls::Tls,
};

/// How long open calls may go on once the drain began.
const DRAIN_DEADLINE: Duration = Duration::from_secs(3);

/// How long the callers call before it begins.
const CALLING: Duration = Duration::from_secs(2);

/// The lines of the table of memory; each is measured with TLS, too.
const READERS: [(Stall, [&str; 2]); 4] = [
    (Stall::Http1Slow, ["HTTP/1.1, read slowly", "HTTP/1.1 over TLS, read slowly"]),
    (Stall::Http1, ["HTTP/1.1, not read", "HTTP/1.1 over TLS, not read"]),
    (Stall::Http2Slow, ["HTTP/2, read slowly", "HTTP/2 over TLS, read slowly"]),
    (Stall::Http2Socket, ["HTTP/2, not read", "HTTP/2 over TLS, not read"]),
];

/// The lines of the table of drains.
const DRAINS: [(Stall, Wire, [&str; 2]); 2] = [
    (Stall::Http1Slow, Wire::WebHttp1, ["HTTP/1.1", "HTTP/1.1 over TLS"]),
    (Stall::Http2Slow, Wire::Grpc, ["HTTP/2", "HTTP/2 over TLS"]),
];

/// Both tables.
pub async fn all(effort: &Effort, mut show: impl FnMut(&Table) -> Result<()>) -> Result<()> {
    let tls = Tls::new()?;
    show(&memory(effort, &tls).await?)?;
    show(&drains(effort, &tls).await?)
}

fn start(effort: &Effort, tls: Option<&Tls>) -> Result<Server> {
    let mut command: Command =
        run::runnel(&effort.runnel, Some("warn,runnel=info,runnel::rpc=warn"));
    command.args(["--drain-deadline", &format!("{}s", DRAIN_DEADLINE.as_secs())]);
    for (flag, file) in tls.iter().flat_map(|tls| tls.arguments()) {
        command.arg(flag).arg(file);
    }
    Server::start(&mut command)
}

async fn connect(address: SocketAddr, tls: Option<&Tls>, wire: Wire) -> Result<Caller> {
    let Some(tls) = tls else { return Caller::connect(address, wire).await };
    let socket = TcpStream::connect(address).await.context("cannot connect")?;
    socket.set_nodelay(true)?;
    Caller::over(tls.connect(socket, wire).await?, address, wire).await
}

/// How much a server grows for each reader.
async fn memory(effort: &Effort, tls: &Tls) -> Result<Table> {
    let mut rows = Vec::new();
    for (stall, names) in READERS {
        for (name, tls) in names.into_iter().zip([None, Some(tls)]) {
            let mut row = Row::new(name);
            for _ in 0..effort.memory_rounds {
                let server = start(effort, tls)?;
                connect(server.address(), tls, stall.wire()).await?.call(&Call::get_all()).await?;
                let before = server.resident_bytes()?;
                let readers = memory::stall(server.address(), tls, stall, effort.readers).await?;
                let after = memory::settled(|| server.resident_bytes()).await?;
                drop(readers);
                let kib = u32::try_from(after.saturating_sub(before) / 1024)?;
                row.rounds.push(vec![f64::from(kib) / f64::from(effort.readers)]);
            }
            rows.push(row);
        }
    }
    let title = format!("{} readers of an endless stream: server memory for each", effort.readers);
    Ok(Table { title, measures: vec![("KiB", 0)], rows })
}

/// Drains under readers and callers.
async fn drains(effort: &Effort, tls: &Tls) -> Result<Table> {
    let mut rows = Vec::new();
    for (stall, wire, names) in DRAINS {
        for (name, tls) in names.into_iter().zip([None, Some(tls)]) {
            let mut row = Row::new(name);
            for _ in 0..effort.memory_rounds {
                row.rounds.push(drain(effort, tls, stall, wire).await?);
            }
            rows.push(row);
        }
    }
    let title = format!(
        "a drain of {DRAIN_DEADLINE:?} under {} slow readers and {} callers of getAll(10): calls \
         answered, none admitted and lost; time from SIGTERM to the exit",
        effort.readers, effort.callers
    );
    Ok(Table { title, measures: vec![("answered", 0), ("s", 2)], rows })
}

/// Calls that were answered, which must be all that were admitted, and seconds.
async fn drain(effort: &Effort, tls: Option<&Tls>, stall: Stall, wire: Wire) -> Result<Vec<f64>> {
    let mut server = start(effort, tls)?;
    let admin = server.admin()?;
    let readers = memory::stall(server.address(), tls, stall, effort.readers).await?;
    let mut callers = JoinSet::new();
    for _ in 0..effort.callers {
        let mut caller = connect(server.address(), tls, wire).await?;
        callers.spawn(async move {
            let (call, mut answered) = (Call::get_all(), 0_u32);
            // Until the connection takes no more calls; of those it took, the server knows.
            while caller.call(&call).await.is_ok() {
                answered += 1;
            }
            answered
        });
    }
    sleep(CALLING).await;
    let signalled = Instant::now();
    server.terminate()?;
    let answered: u32 = callers.join_all().await.into_iter().sum();
    // The streams keep the server up, which by now lets nobody in.
    ensure!(signalled.elapsed() < DRAIN_DEADLINE, "the callers were not done before the deadline");
    let admitted = admitted(admin).await?;
    server.ended().await?;
    let time = signalled.elapsed();
    drop(readers);
    ensure!(admitted == answered, "{admitted} calls were admitted and {answered} answered");
    Ok(vec![f64::from(answered), time.as_secs_f64()])
}

/// How many calls of `getAll` a server has admitted, as its metrics say.
async fn admitted(admin: SocketAddr) -> Result<u32> {
    let socket = TcpStream::connect(admin).await.context("cannot connect to the admin port")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    let get = Request::get("/metrics").header(header::HOST, admin.to_string());
    let response = sender.send_request(get.body(Empty::<Bytes>::new())?).await?;
    ensure!(response.status() == StatusCode::OK, "HTTP status {}", response.status());
    let text = response.into_body().collect().await?.to_bytes();
    let mut admitted = 0;
    for line in str::from_utf8(&text)?.lines() {
        if line.starts_with("grpc_server_started_total{") && line.contains("\"getAll\"") {
            let (_, count) = line.rsplit_once(' ').context("a metric without a value")?;
            admitted += count.parse::<u32>()?;
        }
    }
    Ok(admitted)
}
