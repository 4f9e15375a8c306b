//! The limit of open files, raised to what `--max-connections` needs.

use crate::config::ConnectionsConfig;

/// Raises the limit of this process to what the connections may need, as far as the system lets it, and
/// warns if that is not enough.
pub fn raise(connections: &ConnectionsConfig) {
    let connections_limit = connections.limit().total;
    let is_bounded = connections_limit < usize::MAX;
    match runnel_serve::raise_file_limit(connections_limit) {
        Ok(files) if files.limit < files.wanted && is_bounded => tracing::warn!(
            limit = files.limit,
            wanted = files.wanted,
            "the limit of open files is too low for --max-connections {}: raise the hard limit \
             (ulimit -Hn, LimitNOFILE, --ulimit nofile), or lower --max-connections",
            connections.max_connections
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!("cannot raise the limit of open files: {error}"),
    }
}
