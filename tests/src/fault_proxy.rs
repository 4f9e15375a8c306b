//! A proxy on loopback that breaks what passes through it, on purpose and as told: each connection
//! takes the next fault from a queue, and when the queue is empty all goes through.
//!
//! Faults are of the bytes that a server sends; what the client sends passes as it is.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

use crate::binary::Binary;

/// What goes wrong with one connection, after this many bytes of its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing goes wrong, but no more than `at_once` bytes arrive together.
    Split {
        /// At least 1.
        at_once: usize,
    },
    /// Nothing goes wrong, but it takes its time, until [`FaultProxy::hurry`]. What the server sends
    /// meanwhile does not pile up here.
    Slow {
        /// At least 1.
        bytes_per_second: u32,
    },
    /// It is closed in good order.
    Cut {
        /// Bytes.
        after: usize,
    },
    /// It is reset.
    Reset {
        /// Bytes.
        after: usize,
    },
    /// Nothing more arrives, and it stays open.
    Stall {
        /// Bytes.
        after: usize,
    },
    /// The rest arrives late.
    Delay {
        /// Bytes.
        after: usize,
        /// How late.
        by: Duration,
    },
    /// It is cut, and from now on connections lead to the next server.
    Flip {
        /// Bytes.
        after: usize,
    },
    /// A proxy answers in the server's place, in HTML; with a redirect, to a page to sign in on that is on
    /// another host.
    Instead {
        /// The HTTP status.
        status: u16,
    },
}

/// HTTP statuses by which a proxy says that it does not reach the server just now, as every client of
/// gRPC takes them.
const PASSING: [u16; 4] = [429, 502, 503, 504];

impl Fault {
    /// One of the kinds, somewhere in the first `bytes` of an answer: as often in its head as anywhere.
    pub fn random(rng: &mut fastrand::Rng, bytes: usize) -> Self {
        let after = if rng.bool() { rng.usize(..512) } else { rng.usize(..bytes) };
        match rng.u8(..7) {
            0 => Self::Split { at_once: rng.usize(1..64) },
            1 => Self::Cut { after },
            2 => Self::Reset { after },
            3 => Self::Stall { after },
            4 => Self::Delay { after, by: Duration::from_millis(rng.u64(..20)) },
            5 => Self::Flip { after },
            _ => Self::Instead { status: PASSING[rng.usize(..PASSING.len())] },
        }
    }
}

/// A running proxy; dropping it ends it and every connection through it.
pub struct FaultProxy {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    /// The first is the one that connections lead to.
    servers: Mutex<VecDeque<SocketAddr>>,
    faults: Mutex<VecDeque<Fault>>,
    /// Bytes that servers sent and that were passed on.
    passed: AtomicU64,
    /// Changes when every open connection is to end.
    epoch: watch::Sender<u64>,
    /// Whether slow connections are slow no longer.
    hurried: watch::Sender<bool>,
}

impl FaultProxy {
    /// A proxy before the first of `servers`.
    pub async fn start(servers: &[SocketAddr]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind loopback");
        let address = listener.local_addr().expect("a bound listener has an address");
        let state = Arc::new(State {
            servers: Mutex::new(servers.iter().copied().collect()),
            faults: Mutex::default(),
            passed: AtomicU64::new(0),
            epoch: watch::Sender::new(0),
            hurried: watch::Sender::new(false),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, accepting }
    }

    /// Its URL without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The URL at which clients reach this server through the proxy.
    pub fn url_of(&self, server: &Binary) -> String {
        format!("{}://{}", server.scheme(), self.address)
    }

    /// Closes every open connection and gives the next ones these faults.
    pub fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        *lock(&self.state.faults) = faults.into_iter().collect();
        self.state.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// From now on nothing is slow. What is open stays open.
    pub fn hurry(&self) {
        self.state.hurried.send_replace(true);
    }

    /// Faults that no connection has taken yet.
    pub fn faults_left(&self) -> usize {
        lock(&self.state.faults).len()
    }

    /// Bytes that servers sent through it so far.
    pub fn passed_bytes(&self) -> u64 {
        self.state.passed.load(Ordering::Relaxed)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.state.epoch.send_modify(|epoch| *epoch += 1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let mut epoch = state.epoch.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                // Whatever a peer does to its connection is no concern of the proxy.
                _ = carry(client, &state) => {}
                _ = epoch.changed() => {}
            }
        });
    }
}

/// Carries one connection to its end.
async fn carry(mut client: TcpStream, state: &State) -> io::Result<()> {
    let fault = lock(&state.faults).pop_front();
    client.set_nodelay(true)?;
    if let Some(Fault::Instead { status }) = fault {
        return answer_instead(client, status).await;
    }
    let to = lock(&state.servers).front().copied().expect("a proxy has a server");
    let server = TcpSocket::new_v4()?;
    if matches!(fault, Some(Fault::Slow { .. })) {
        server.set_recv_buffer_size(64 * 1024)?;
    }
    let mut server = server.connect(to).await?;
    server.set_nodelay(true)?;

    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    tokio::select! {
        // The client has gone, so the server's answer is not wanted any more.
        gone = tokio::io::copy(&mut from_client, &mut to_server) => return gone.map(drop),
        answered = pass(&mut from_server, &mut to_client, fault, state) => answered?,
    }
    if matches!(fault, Some(Fault::Reset { .. })) {
        client.set_zero_linger()?;
    }
    Ok(())
}

/// Passes an answer on until it ends or is to be cut.
async fn pass(
    server: &mut ReadHalf<'_>,
    client: &mut WriteHalf<'_>,
    fault: Option<Fault>,
    state: &State,
) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    let mut hurried = state.hurried.subscribe();
    let (mut until_fault, at_once) = match fault {
        Some(Fault::Split { at_once }) => (None, at_once),
        Some(
            Fault::Cut { after }
            | Fault::Reset { after }
            | Fault::Stall { after }
            | Fault::Delay { after, .. }
            | Fault::Flip { after },
        ) => (Some(after), buffer.len()),
        Some(Fault::Slow { .. } | Fault::Instead { .. }) | None => (None, buffer.len()),
    };
    loop {
        if until_fault == Some(0) {
            match fault {
                Some(Fault::Stall { .. }) => std::future::pending().await,
                Some(Fault::Delay { by, .. }) => tokio::time::sleep(by).await,
                Some(Fault::Flip { .. }) => {
                    lock(&state.servers).rotate_left(1);
                    return Ok(());
                }
                _ => return Ok(()),
            }
            until_fault = None;
        }
        let most = until_fault.unwrap_or(usize::MAX).min(at_once).min(buffer.len());
        let read = server.read(&mut buffer[..most]).await?;
        if read == 0 {
            return Ok(());
        }
        client.write_all(&buffer[..read]).await?;
        if at_once < buffer.len() {
            // Gives the reader the chance to see these bytes alone.
            tokio::task::yield_now().await;
        }
        if let (Some(Fault::Slow { bytes_per_second }), Ok(bytes)) = (fault, u32::try_from(read)) {
            let time = Duration::from_secs(1) * bytes / bytes_per_second;
            // Either way it is time to go on.
            let _ = tokio::time::timeout(time, hurried.wait_for(|hurried| *hurried)).await;
        }
        state.passed.fetch_add(read as u64, Ordering::Relaxed);
        until_fault = until_fault.map(|left| left - read);
    }
}

async fn answer_instead(mut client: TcpStream, status: u16) -> io::Result<()> {
    // The answer may come before the whole request has, but never before any of it. What is still sent
    // must be read, or closing would reset the connection and lose the answer.
    let mut request = [0; 4096];
    if client.read(&mut request).await? == 0 {
        return Ok(());
    }
    let page = format!("<html><body><h1>{status} of a proxy</h1></body></html>");
    let location =
        if (300..400).contains(&status) { "location: http://sign-in.invalid/\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status} Of A Proxy\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\
         {location}connection: close\r\n\r\n",
        page.len()
    );
    client.write_all(format!("{head}{page}").as_bytes()).await?;
    client.shutdown().await?;
    while client.read(&mut request).await? > 0 {}
    Ok(())
}
