//! The limit of open files. Each connection is one, and most systems allow a process 1024 unless it asks
//! for more. Connections beyond the limit wait, and neither their clients nor the server are told why.

use std::io;

/// Files that are open besides the connections of clients: listeners, connections to backends and to an admin
/// port, certificates while they are read.
const OTHER_FILES: u64 = 256;

/// How many files this process may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileLimit {
    /// How many it may have open now.
    pub limit: u64,
    /// How many it should be able to open. If [`limit`](Self::limit) is less, an operator must raise the hard
    /// limit (`ulimit -Hn`, systemd's `LimitNOFILE`), or allow fewer connections.
    pub wanted: u64,
}

/// Raises the limit of open files of this process to what so many connections need, as far as the system
/// allows that. Never lowers it.
///
/// # Errors
///
/// The system cannot say what the limit is, or does not let it be raised.
pub fn raise_file_limit(connections: usize) -> io::Result<FileLimit> {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    Ok(FileLimit { limit: raise_to(wanted)?, wanted })
}

/// Gives the limit as it is now.
#[cfg(unix)]
fn raise_to(wanted: u64) -> io::Result<u64> {
    use rlimit::Resource;

    let (soft, hard) = Resource::NOFILE.get()?;
    if soft < wanted {
        Resource::NOFILE.set(wanted.min(hard), hard)?;
    }
    Ok(wanted.min(hard).max(soft))
}

/// Other systems have no such limit.
#[cfg(not(unix))]
fn raise_to(wanted: u64) -> io::Result<u64> {
    Ok(wanted)
}
