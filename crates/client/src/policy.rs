//! [`Policy`]: how long calls are waited for, and how they are tried again; [`Retry`]: which of them.

use std::time::Duration;

use crate::Backoff;

/// Whether a call that failed may be made again.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Only if it certainly did not begin, as when there was no connection to send it on: right for every
    /// call. gRPC calls that a transparent retry
    /// (<https://github.com/grpc/proposal/blob/master/A6-client-retries.md#transparent-retries>).
    IfNotBegun,
    /// Whenever that may help: the call only reads, or to make it twice is the same as to make it once.
    Idempotent,
}

/// What a client does about time and failure.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// How long a unary call may take, its retries and the waits between them included. Sent to the
    /// server as what is left of it, and kept here.
    pub unary_deadline: Duration,
    /// How often a unary call is made at most; gRPC knows no more than 5
    /// (<https://github.com/grpc/proposal/blob/master/A6-client-retries.md>).
    pub max_attempts: u32,
    /// The waits between attempts.
    pub backoff: Backoff,
    /// How long a stream may bring nothing, from the call on, before it counts as dead: a
    /// connection that silently broke says nothing, and gRPC-Web has no ping to ask it with.
    /// Counted only while somebody waits for the next message.
    pub stall: Duration,
    /// How long a stream is resumed again and again without one new message before it is given up.
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
