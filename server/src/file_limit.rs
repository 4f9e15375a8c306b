//! The limit of open files. Each connection is one, and most systems allow a process 1024 unless it asks
//! for more; beyond the limit connections wait unaccepted, with nobody told why.

use crate::config::ConnectionsConfig;

/// What is open besides the connections of clients: listeners, those to backends and to the admin port,
/// certificates while they are read.
const OTHER_FILES: u64 = 256;

/// Raises the limit of this process to what the connections may need, as far as the system lets it, and
/// warns if that is not enough.
pub fn raise(connections: &ConnectionsConfig) {
    let connections_limit = connections.limit().total;
    let is_bounded = connections_limit < usize::MAX;
    let wanted = u64::try_from(connections_limit).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    match raise_to(wanted) {
        Ok(limit) if limit < wanted && is_bounded => tracing::warn!(
            limit,
            wanted,
            "the limit of open files is too low for --max-connections {}: raise the hard limit \
             (ulimit -Hn, LimitNOFILE, --ulimit nofile), or lower --max-connections",
            connections.max_connections
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!("cannot raise the limit of open files: {error}"),
    }
}

/// Gives the limit as it is now.
#[cfg(unix)]
fn raise_to(wanted: u64) -> std::io::Result<u64> {
    use rlimit::Resource;

    let (soft, hard) = Resource::NOFILE.get()?;
    if soft < wanted {
        Resource::NOFILE.set(wanted.min(hard), hard)?;
    }
    Ok(wanted.min(hard).max(soft))
}

/// Elsewhere there is none.
#[cfg(not(unix))]
fn raise_to(wanted: u64) -> std::io::Result<u64> {
    Ok(wanted)
}
