//! Logs: to standard error, as text or JSON, filtered by `RUST_LOG`.
//!
//! A call that logs never waits for the reader of the logs: lines go through a bounded queue to a thread that
//! writes many at a time. When the reader is too slow for too long, lines are dropped, and counted.
//! [`finish`] writes what is queued; it is called before the process ends.

use std::{
    io::{self, BufWriter, IsTerminal as _, Stderr, Write},
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::config::LogFormat;

/// How many lines may wait to be written: a few megabytes.
const QUEUE_LINES: usize = 16 * 1024;

/// How much is written at a time, in bytes.
const WRITE_BYTES: usize = 64 * 1024;

/// How long the thread rests after it has written all there was. Meanwhile it needs no waking, which
/// costs a call more than the line itself.
const REST: Duration = Duration::from_millis(10);

static WRITER: Mutex<Option<WorkerGuard>> = Mutex::new(None);
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// Starts logging for the whole process. A second call changes nothing.
pub fn init(format: LogFormat) {
    let filter =
        EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let (lines, writer) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUE_LINES)
        .thread_name("log")
        .finish(Lines(BufWriter::with_capacity(WRITE_BYTES, io::stderr())));
    let dropped = lines.error_counter();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines)
        .with_ansi(io::stderr().is_terminal());
    let begun = match format {
        LogFormat::Text => logs.try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    };
    // An Err says that logging has been started already, which is what is wanted.
    if begun.is_ok() {
        *WRITER.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
        // Only the first to begin gets here.
        let _ = DROPPED.set(dropped);
    }
}

/// Writes the lines that are queued, unless nobody reads them for a second. What is logged later is
/// lost.
pub fn finish() {
    drop(WRITER.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// How many lines were dropped since the start.
pub(crate) fn dropped_lines() -> usize {
    DROPPED.get().map_or(0, ErrorCounter::dropped_lines)
}

/// Standard error, in large writes and with a rest between them.
struct Lines(BufWriter<Stderr>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write(line)
    }

    /// Called when the queue is empty.
    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.0.flush();
        thread::sleep(REST);
        flushed
    }
}
