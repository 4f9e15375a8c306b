//! What wants to know of calls: metrics, a log, traces. The layers tell an [`Observer`] when a call begins,
//! when a limit refuses it, and when it has ended, each exactly once. `()` observes nothing, and a pair of
//! observers is one.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use http::Request;
use runnel_limits::client::{Peer, named_client};
use tonic::Code;

use super::{
    call_context::{self, CallContext},
    methods::{Method, MethodKind},
    normalize::Protocol,
    tally::Tally,
    trace_parent::{TraceParent, TraceTrust},
};

/// Is told of every call. It is cloned with the service around which the layers are: a clone observes the same.
pub trait Observer: Clone + Send + Sync + 'static {
    /// What the observer keeps of a call.
    type Call: ObservedCall;

    /// A call began. The observer may have it belong to a trace of its own.
    fn began(&self, call: &mut CallHead) -> Self::Call;
}

/// What an [`Observer`] keeps of a call, and is told of it.
pub trait ObservedCall: Send + 'static {
    /// A limit refused the call; its end follows. `limit` is one of `allow_host`, `cors_origin`, `max_calls`,
    /// `max_calls_per_address`, `max_streams`, `max_streams_per_address` and `max_cancels_per_address`.
    fn refused(&mut self, limit: &'static str) {
        let _ = limit;
    }

    /// The call has ended, however that came about.
    fn ended(&mut self, call: &CallHead, end: &CallEnd);
}

/// What is known of a call when it begins.
#[derive(Debug)]
pub struct CallHead {
    path: Path,
    protocol: Protocol,
    peer: Option<SocketAddr>,
    client: Option<IpAddr>,
    trace: Option<TraceParent>,
}

#[derive(Debug)]
enum Path {
    Described(Method),
    /// The client's to choose.
    Unknown(String),
}

impl CallHead {
    /// Of a request, and the trace that `trace_trust` has for it.
    pub(super) fn of<B>(request: &Request<B>, trace_trust: &TraceTrust) -> Self {
        let extensions = request.extensions();
        let method = extensions.get().and_then(CallContext::method).cloned();
        let unknown = || Path::Unknown(request.uri().path().to_owned());
        Self {
            path: method.map_or_else(unknown, Path::Described),
            protocol: call_context::protocol(extensions),
            peer: extensions.get().map(|Peer(peer)| *peer),
            client: named_client(extensions),
            trace: trace_trust.trace_of(request.headers(), extensions),
        }
    }

    /// The path, such as `/api.Api/getAll`. Clients make up others, so a path whose method has no
    /// [kind](Self::kind) must not become a label.
    pub fn path(&self) -> &str {
        match &self.path {
            Path::Described(method) => method.path(),
            Path::Unknown(path) => path,
        }
    }

    /// The kind of the method; None if no descriptor describes it.
    pub const fn kind(&self) -> Option<MethodKind> {
        match &self.path {
            Path::Described(method) => Some(method.kind()),
            Path::Unknown(_) => None,
        }
    }

    /// The protocol of the call.
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The other end of the connection.
    pub const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The client that a trusted proxy named, if one did.
    pub const fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// The trace that the call belongs to. Calls that are made for it have this as their `traceparent`.
    pub const fn trace(&self) -> Option<&TraceParent> {
        self.trace.as_ref()
    }

    /// Has the call belong to this trace instead.
    pub fn set_trace(&mut self, trace: TraceParent) {
        self.trace = Some(trace);
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CallEnd {
    /// The status it ended with; CANCELLED if its client went away.
    pub code: Code,
    /// How long it took, from its head to the end of its response.
    pub duration: Duration,
    /// What went over the wire.
    pub tally: Tally,
    /// The limit that refused it, if one did.
    pub refused_by: Option<&'static str>,
}

impl Observer for () {
    type Call = ();

    fn began(&self, _call: &mut CallHead) -> Self::Call {}
}

impl ObservedCall for () {
    fn ended(&mut self, _call: &CallHead, _end: &CallEnd) {}
}

/// The first is told first.
impl<A: Observer, B: Observer> Observer for (A, B) {
    type Call = (A::Call, B::Call);

    fn began(&self, call: &mut CallHead) -> Self::Call {
        (self.0.began(call), self.1.began(call))
    }
}

impl<A: ObservedCall, B: ObservedCall> ObservedCall for (A, B) {
    fn refused(&mut self, limit: &'static str) {
        self.0.refused(limit);
        self.1.refused(limit);
    }

    fn ended(&mut self, call: &CallHead, end: &CallEnd) {
        self.0.ended(call, end);
        self.1.ended(call, end);
    }
}
