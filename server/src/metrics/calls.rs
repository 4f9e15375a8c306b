//! Calls: by method, protocol and code. The names and labels are those of the gRPC ecosystem's
//! middleware (<https://github.com/grpc-ecosystem/go-grpc-middleware>), so that dashboards and alerts
//! made for those work here; `protocol` is our addition.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use arc_swap::ArcSwap;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use runnel_rpc::{
    Protocol,
    methods::{MethodKind, Methods},
    observer::{CallEnd, CallHead, ObservedCall, Observer},
};
use runnel_wire::code_name;
use tonic::Code;

/// The labels of a method.
const METHOD: [&str; 3] = ["grpc_type", "grpc_service", "grpc_method"];

/// What stands in every label of a method that nobody described: the path is the client's to choose.
const UNKNOWN: &str = "unknown";

/// Upper bounds of the buckets for durations, in seconds: from a call answered from memory to a stream
/// of ten minutes.
const BUCKETS_SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0, 600.0];

/// How many methods that are learnt while the server runs have series of their own: a backend may describe
/// other methods every minute, and a series stays until the end.
const MAX_LEARNT_METHODS: usize = 1000;

const PROTOCOLS: [Protocol; 3] = [Protocol::Grpc, Protocol::GrpcWeb, Protocol::GrpcWebText];

/// How many status codes there are: 0 to 16.
const CODES: usize = 17;

/// Counts calls. A clone is the same counters.
#[derive(Clone, Debug)]
pub struct CallMetrics(Arc<ByMethod>);

#[derive(Debug)]
struct ByMethod {
    families: Families,
    known: ArcSwap<HashMap<String, Arc<MethodMetrics>>>,
    unknown: Arc<MethodMetrics>,
    learnt: Mutex<usize>,
}

impl CallMetrics {
    /// Counts calls of `methods` from the start, of others that are described from their first call, and
    /// calls of those that nobody describes as one.
    pub fn register(registry: &Registry, methods: &Methods) -> Result<Self, prometheus::Error> {
        let families = Families::register(registry)?;
        let known = methods.iter().map(|(path, kind)| {
            let metrics = MethodMetrics::new(&families, path, kind);
            // There from the start: a counter that appears with its first call hides that call's rate.
            for protocol in PROTOCOLS {
                metrics.handled(protocol, Code::Ok);
            }
            (path.to_owned(), Arc::new(metrics))
        });
        let known = ArcSwap::from_pointee(known.collect());
        let unknown = Arc::new(MethodMetrics::unknown(&families));
        Ok(Self(Arc::new(ByMethod { families, known, unknown, learnt: Mutex::default() })))
    }

    /// What calls of the method at this path are counted with; its kind as described, None if nobody
    /// described it.
    fn method(&self, path: &str, kind: Option<MethodKind>) -> Arc<MethodMetrics> {
        let Some(kind) = kind else {
            return Arc::clone(&self.0.unknown);
        };
        let known = self.0.known.load().get(path).filter(|metrics| metrics.is_of(kind)).cloned();
        known.unwrap_or_else(|| self.learn(path, kind))
    }

    fn learn(&self, path: &str, kind: MethodKind) -> Arc<MethodMetrics> {
        let ByMethod { families, known, unknown, learnt } = &*self.0;
        let mut learnt = learnt.lock().unwrap_or_else(PoisonError::into_inner);
        // Another call may have been faster.
        if let Some(metrics) = known.load().get(path).filter(|metrics| metrics.is_of(kind)) {
            return Arc::clone(metrics);
        }
        if *learnt >= MAX_LEARNT_METHODS {
            return Arc::clone(unknown);
        }
        *learnt += 1;
        let metrics = Arc::new(MethodMetrics::new(families, path, kind));
        let mut more = HashMap::clone(&known.load());
        more.insert(path.to_owned(), Arc::clone(&metrics));
        known.store(Arc::new(more));
        metrics
    }
}

impl Observer for CallMetrics {
    type Call = CountedCall;

    fn began(&self, call: &mut CallHead) -> CountedCall {
        let method = self.method(call.path(), call.kind());
        method.began(call.protocol());
        CountedCall(method)
    }
}

/// A call that is counted.
#[derive(Debug)]
pub struct CountedCall(Arc<MethodMetrics>);

impl ObservedCall for CountedCall {
    fn refused(&mut self, limit: &'static str) {
        self.0.refused.with_label_values(&[limit]).inc();
    }

    fn ended(&mut self, call: &CallHead, end: &CallEnd) {
        self.0.ended(call.protocol(), end);
    }
}

/// The metrics that have a series for each method.
#[derive(Debug)]
struct Families {
    started: IntCounterVec,
    handled: IntCounterVec,
    seconds: HistogramVec,
    received_messages: IntCounterVec,
    sent_messages: IntCounterVec,
    received_bytes: IntCounterVec,
    sent_bytes: IntCounterVec,
    open: IntGaugeVec,
    refused: IntCounterVec,
}

impl Families {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let with = |extra: &[&'static str]| [&METHOD[..], extra].concat();
        let counter = |name, help, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let started =
            counter("grpc_server_started_total", "Calls that began.", &with(&["protocol"]))?;
        let handled = counter(
            "grpc_server_handled_total",
            "Calls that ended, by how.",
            &with(&["protocol", "grpc_code"]),
        )?;
        let received_messages =
            counter("grpc_server_msg_received_total", "Messages from clients.", &METHOD)?;
        let sent_messages = counter("grpc_server_msg_sent_total", "Messages to clients.", &METHOD)?;
        let received_bytes = counter(
            "runnel_received_bytes_total",
            "Bytes of messages from clients, their prefixes included.",
            &METHOD,
        )?;
        let sent_bytes = counter(
            "runnel_sent_bytes_total",
            "Bytes of messages to clients, their prefixes included.",
            &METHOD,
        )?;
        let seconds = HistogramOpts::new(
            "grpc_server_handling_seconds",
            "How long calls took, from their head to the end of their answer.",
        );
        let seconds = HistogramVec::new(seconds.buckets(BUCKETS_SECONDS.to_vec()), &METHOD)?;
        registry.register(Box::new(seconds.clone()))?;
        let refused = counter(
            "runnel_calls_refused_total",
            "Calls that were over a bound, by the option that sets it.",
            &["bound"],
        )?;
        let open = Opts::new("runnel_open_calls", "Calls that are open.");
        let open = IntGaugeVec::new(open, &["kind"])?;
        registry.register(Box::new(open.clone()))?;
        Ok(Self {
            started,
            handled,
            seconds,
            received_messages,
            sent_messages,
            received_bytes,
            sent_bytes,
            open,
            refused,
        })
    }
}

/// What calls of one method are counted with, looked up already.
#[derive(Debug)]
struct MethodMetrics {
    /// None for the methods that nobody described.
    kind: Option<MethodKind>,
    labels: [String; METHOD.len()],
    started: [IntCounter; PROTOCOLS.len()],
    handled_family: IntCounterVec,
    /// By protocol and code, each made when first needed: most codes never are.
    handled: [[OnceLock<IntCounter>; CODES]; PROTOCOLS.len()],
    seconds: Histogram,
    received_messages: IntCounter,
    sent_messages: IntCounter,
    received_bytes: IntCounter,
    sent_bytes: IntCounter,
    open: IntGauge,
    refused: IntCounterVec,
}

impl MethodMetrics {
    fn new(families: &Families, path: &str, kind: MethodKind) -> Self {
        let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
        let sort = match kind {
            MethodKind { client_streaming: false, server_streaming: false } => "unary",
            MethodKind { client_streaming: true, server_streaming: false } => "client_stream",
            MethodKind { client_streaming: false, server_streaming: true } => "server_stream",
            MethodKind { client_streaming: true, server_streaming: true } => "bidi_stream",
        };
        Self::labelled(families, Some(kind), [sort, service, method])
    }

    /// As admission does, it takes a call that it knows nothing of for a stream.
    fn unknown(families: &Families) -> Self {
        Self::labelled(families, None, [UNKNOWN; 3])
    }

    fn labelled(
        families: &Families,
        kind: Option<MethodKind>,
        labels: [&str; METHOD.len()],
    ) -> Self {
        let [sort, service, method] = labels;
        let open = if kind.is_some_and(MethodKind::is_unary) { "unary" } else { "stream" };
        Self {
            kind,
            labels: labels.map(str::to_owned),
            started: PROTOCOLS.map(|protocol| {
                families.started.with_label_values(&[sort, service, method, protocol.as_str()])
            }),
            handled_family: families.handled.clone(),
            handled: std::array::from_fn(|_| std::array::from_fn(|_| OnceLock::new())),
            seconds: families.seconds.with_label_values(&labels),
            received_messages: families.received_messages.with_label_values(&labels),
            sent_messages: families.sent_messages.with_label_values(&labels),
            received_bytes: families.received_bytes.with_label_values(&labels),
            sent_bytes: families.sent_bytes.with_label_values(&labels),
            open: families.open.with_label_values(&[open]),
            refused: families.refused.clone(),
        }
    }

    fn is_of(&self, kind: MethodKind) -> bool {
        self.kind == Some(kind)
    }

    /// A call began.
    fn began(&self, protocol: Protocol) {
        self.started[protocol as usize].inc();
        self.open.inc();
    }

    /// A call that began has ended.
    fn ended(&self, protocol: Protocol, end: &CallEnd) {
        self.open.dec();
        self.handled(protocol, end.code).inc();
        self.seconds.observe(end.duration.as_secs_f64());
        self.received_messages.inc_by(end.tally.received_messages);
        self.sent_messages.inc_by(end.tally.sent_messages);
        self.received_bytes.inc_by(end.tally.received_bytes);
        self.sent_bytes.inc_by(end.tally.sent_bytes);
    }

    fn handled(&self, protocol: Protocol, code: Code) -> &IntCounter {
        self.handled[protocol as usize][code as usize].get_or_init(|| {
            let [sort, service, method] = &self.labels;
            let labels = [sort, service, method, protocol.as_str(), code_name(code)];
            self.handled_family.with_label_values(&labels)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNARY: MethodKind = MethodKind { client_streaming: false, server_streaming: false };
    const BIDI: MethodKind = MethodKind { client_streaming: true, server_streaming: true };

    #[test]
    fn a_method_that_is_learnt_is_counted_apart_and_again_when_its_kind_changes() {
        let metrics = CallMetrics::register(&Registry::new(), &Methods::default()).unwrap();
        let learnt = metrics.method("/a.B/c", Some(UNARY));
        assert_eq!(learnt.labels, ["unary", "a.B", "c"]);
        assert!(Arc::ptr_eq(&learnt, &metrics.method("/a.B/c", Some(UNARY))));
        assert_eq!(metrics.method("/a.B/c", Some(BIDI)).labels, ["bidi_stream", "a.B", "c"]);
        assert_eq!(metrics.method("/a.B/c", None).labels, [UNKNOWN; 3]);
    }

    #[test]
    fn however_many_methods_are_learnt_the_series_are_bounded() {
        let registry = Registry::new();
        let metrics = CallMetrics::register(&registry, &Methods::default()).unwrap();
        for number in 0..MAX_LEARNT_METHODS + 10 {
            let path = format!("/a.B/c{number}");
            let is_learnt = metrics.method(&path, Some(UNARY)).kind.is_some();
            assert_eq!(is_learnt, number < MAX_LEARNT_METHODS, "{number}");
        }
        assert!(metrics.method("/a.B/c0", Some(UNARY)).kind.is_some(), "it stays");
    }
}
