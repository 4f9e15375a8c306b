//! A server as a process of its own: where it listens, its CPU time, its memory. Linux only: the
//! last two are read from `/proc`.

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tokio::time::sleep;

/// What a server says on standard error once it listens, before its address.
pub const ANNOUNCEMENT: &str = "listening on http://";

/// The same with TLS, and before that of where its admin port is.
const TLS_ANNOUNCEMENT: &str = "listening on https://";
const ADMIN_ANNOUNCEMENT: &str = "admin on http://";

/// How often is looked whether it has ended.
const END_INTERVAL: Duration = Duration::from_millis(10);

/// How long a server may take to listen.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Killed,
    address: SocketAddr,
    admin: Option<SocketAddr>,
}

impl Server {
    /// Starts a server and waits until it listens.
    pub fn start(command: &mut Command) -> Result<Self> {
        ensure!(cfg!(target_os = "linux"), "CPU time and memory are read from Linux's /proc");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = child.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let mut child = Killed(child);
        let mut log = BufReader::new(child.0.stderr.take().context("no standard error")?);
        let (send, listening) = mpsc::channel();
        thread::spawn(move || {
            let (mut line, mut admin) = (String::new(), None);
            while log.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                let after = |words| Some(line.split_once(words)?.1.trim().to_owned());
                if let Some(address) = after(ANNOUNCEMENT).or_else(|| after(TLS_ANNOUNCEMENT)) {
                    // An Err says that nobody waits for it any more.
                    let _ = send.send((address, admin));
                    break;
                }
                admin = admin.or_else(|| after(ADMIN_ANNOUNCEMENT)?.parse().ok());
                line.clear();
            }
            // A full pipe would stop the server. What is left ends with it, whatever the result.
            let _ = io::copy(&mut log, &mut io::sink());
        });
        let listening = listening.recv_timeout(START_DEADLINE);
        let (address, admin) =
            listening.with_context(|| format!("{command:?} does not say it listens"))?;
        Ok(Self { child, address: address.parse()?, admin })
    }

    /// Starts a server that says nothing, and waits until it can be connected to.
    pub fn start_at(command: &mut Command, address: SocketAddr) -> Result<Self> {
        ensure!(cfg!(target_os = "linux"), "CPU time and memory are read from Linux's /proc");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let child = child.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let mut server = Self { child: Killed(child), address, admin: None };
        let deadline = Instant::now() + START_DEADLINE;
        while TcpStream::connect(address).is_err() {
            ensure!(Instant::now() < deadline, "{command:?} does not listen");
            let ended = server.child.0.try_wait()?;
            ensure!(ended.is_none(), "{command:?} ended");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its admin port is.
    pub fn admin(&self) -> Result<SocketAddr> {
        self.admin.context("the server has no admin port")
    }

    /// Asks it to end.
    pub fn terminate(&self) -> Result<()> {
        let process = self.child.0.id().to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &process]).status()?;
        ensure!(sent.success(), "cannot send a signal to the server");
        Ok(())
    }

    /// Waits for its end, which must be a good one.
    pub async fn ended(&mut self) -> Result<()> {
        loop {
            if let Some(status) = self.child.0.try_wait()? {
                ensure!(status.success(), "the server ended with {status}");
                return Ok(());
            }
            sleep(END_INTERVAL).await;
        }
    }

    /// The CPU time it has used, user and system.
    pub fn cpu(&self) -> Result<Duration> {
        cpu_of(self.child.0.id())
    }

    /// The CPU time it has used since that was `before`.
    pub fn cpu_since(&self, before: Duration) -> Result<Duration> {
        // The time of a thread that has ended is in no file.
        self.cpu()?.checked_sub(before).context("a thread of the server ended meanwhile")
    }

    /// The memory that is its own at the moment, in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.child.0.id());
        let status = fs::read_to_string(&path).with_context(|| path.clone())?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
        let kib: u64 = kib.with_context(|| format!("no VmRSS in {path}"))?.trim().parse()?;
        Ok(kib * 1024)
    }
}

/// User and system time of the process, summed over its threads. The same as in `/proc/PID/stat`, but
/// that counts in steps of 10 ms, which is about all the limit takes for a million items.
fn cpu_of(process: u32) -> Result<Duration> {
    let folder = format!("/proc/{process}/task");
    let mut nanoseconds = 0;
    for thread in fs::read_dir(&folder).with_context(|| format!("{folder}: did it end?"))? {
        let path = thread?.path().join("schedstat");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let field = text.split_whitespace().next().with_context(|| path.display().to_string())?;
        nanoseconds += field.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

#[derive(Debug)]
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // An Err says that it ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_grows_with_work() {
        let busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let busy = Killed(busy);
        let before = cpu_of(busy.0.id()).unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        while cpu_of(busy.0.id()).unwrap() < before + Duration::from_millis(1) {
            assert!(Instant::now() < deadline, "a busy process uses no CPU time");
            thread::yield_now();
        }
    }
}
