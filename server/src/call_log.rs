//! One log line a call, written when it is over. No payloads: what clients send is theirs.

use std::time::Duration;

use runnel_rpc::{
    TraceParent,
    observer::{CallEnd, CallHead, ObservedCall, Observer},
};
use runnel_wire::{code_name, shortened_path};

/// Writes the lines of calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallLog;

/// The line of one call.
#[derive(Debug)]
pub(crate) struct Line;

impl Observer for CallLog {
    type Call = Line;

    fn began(&self, _call: &mut CallHead) -> Line {
        Line
    }
}

impl ObservedCall for Line {
    fn ended(&mut self, call: &CallHead, end: &CallEnd) {
        tracing::info!(
            // What operators filter by.
            target: "runnel::rpc::call_log",
            method = shortened_path(call.path()),
            protocol = call.protocol().as_str(),
            code = code_name(end.code),
            duration_ms = milliseconds(end.duration),
            received_messages = end.tally.received_messages,
            received_bytes = end.tally.received_bytes,
            sent_messages = end.tally.sent_messages,
            sent_bytes = end.tally.sent_bytes,
            peer = call.peer().map(tracing::field::display),
            client = call.client().map(tracing::field::display),
            trace_id = call.trace().map(TraceParent::trace_id),
            refused_by = end.refused_by,
            "call"
        );
    }
}

/// With microseconds as decimals.
fn milliseconds(duration: Duration) -> f64 {
    // Exact up to 285 years.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    let microseconds = duration.as_micros() as f64;
    microseconds / 1000.0
}
