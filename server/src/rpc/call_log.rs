//! One log line a call, written when it is over. No payloads: what clients send is theirs.

use std::time::Duration;

use runnel_wire::{code_name, shortened_path};
use tonic::Code;

use super::observe::Call;
use crate::metrics::Tally;

/// Writes the line of a call that took so long and ended so.
pub(super) fn write(call: &Call, code: Code, took: Duration, tally: Tally) {
    tracing::info!(
        method = shortened_path(call.path()),
        protocol = call.protocol().as_str(),
        code = code_name(code),
        duration_ms = milliseconds(took),
        received_messages = tally.received_messages,
        received_bytes = tally.received_bytes,
        sent_messages = tally.sent_messages,
        sent_bytes = tally.sent_bytes,
        peer = call.peer().map(tracing::field::display),
        client = call.client().map(tracing::field::display),
        trace_id = call.trace_id(),
        refused_by = call.refused_by(),
        "call"
    );
}

/// With microseconds as decimals.
fn milliseconds(duration: Duration) -> f64 {
    // Exact up to 285 years.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    let microseconds = duration.as_micros() as f64;
    microseconds / 1000.0
}
