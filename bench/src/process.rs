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

/// What a server says on standard error once it listens, before its address.
pub const ANNOUNCEMENT: &str = "listening on http://";

/// How long a server may take to listen.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Killed,
    address: SocketAddr,
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
            let mut line = String::new();
            while log.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                if let Some((_, address)) = line.split_once(ANNOUNCEMENT) {
                    // An Err says that nobody waits for it any more.
                    let _ = send.send(address.trim().parse());
                    break;
                }
                line.clear();
            }
            // A full pipe would stop the server. What is left ends with it, whatever the result.
            let _ = io::copy(&mut log, &mut io::sink());
        });
        let address = listening.recv_timeout(START_DEADLINE);
        let address = address.with_context(|| format!("{command:?} does not say it listens"))??;
        Ok(Self { child, address })
    }

    /// Starts a server that says nothing, and waits until it can be connected to.
    pub fn start_at(command: &mut Command, address: SocketAddr) -> Result<Self> {
        ensure!(cfg!(target_os = "linux"), "CPU time and memory are read from Linux's /proc");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let child = child.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let mut server = Self { child: Killed(child), address };
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
