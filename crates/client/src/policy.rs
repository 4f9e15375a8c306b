//! [`Policy`]: how long calls may take, and how they are retried; [`Retry`]: which calls may be retried.

use std::time::Duration;

use crate::Backoff;

/// Whether a call that failed may be made again.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Only if the call certainly did not begin, for instance because no connection could be opened. This
    /// is safe for every call. gRPC calls it a transparent retry
    /// (<https://github.com/grpc/proposal/blob/master/A6-client-retries.md#transparent-retries>).
    IfNotBegun,
    /// Whenever it may help: the call only reads, or making it twice has the same effect as making it once.
    Idempotent,
}

/// The timeouts of a client, and what it does after a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// How long a unary call may take, its retries and the waits between them included. Each attempt sends
    /// what is left of it to the server; the client keeps to it, too.
    pub unary_deadline: Duration,
    /// The largest number of attempts of a unary call; gRPC allows at most 5
    /// (<https://github.com/grpc/proposal/blob/master/A6-client-retries.md>).
    pub max_attempts: u32,
    /// The waits between attempts.
    pub backoff: Backoff,
    /// How long a stream may be silent, from the beginning of the call, before it counts as broken: a
    /// connection can break without a sign, and gRPC-Web has no ping. Only time in which the caller waits
    /// for the next message counts.
    pub stall: Duration,
    /// How long a stream is resumed without a single new message before it is given up.
    pub patience: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            unary_deadline: Duration::from_secs(30),
            max_attempts: 5,
            backoff: Backoff { base: Duration::from_millis(100), max: Duration::from_secs(10) },
            stall: Duration::from_secs(15),
            patience: Duration::from_mins(2),
        }
    }
}
