//! A span for each call, exported to an OpenTelemetry collector: the cargo feature `otel`.
//!
//! It belongs to the trace that the call belongs to (see [`TraceParent`]), or begins one; a backend
//! that the call is forwarded to is told of the span as its parent. Names and attributes are those of the semantic
//! conventions: <https://opentelemetry.io/docs/specs/semconv/rpc/grpc/>.

use std::{sync::OnceLock, time::Duration};

use opentelemetry::{
    Context, KeyValue,
    trace::{
        Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _,
        TraceFlags, TraceId, TraceState, Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider, Span},
};
use runnel_rpc::{
    TraceParent,
    observer::{CallEnd, CallHead, ObservedCall, Observer},
};
use runnel_wire::code_name;
use tonic::Code;

use crate::config::TracesConfig;

/// How long the spans of the last calls may take to reach the collector when the server ends.
const FINISH_DEADLINE: Duration = Duration::from_secs(2);

/// Where the spans of this process go, once somebody wants them.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// An export that has begun; [`Traces::finish`] ends it.
#[derive(Debug)]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Begins to export, for the whole process, if `config` names a collector. It need not be there
    /// yet. Wants to be called on a tokio runtime.
    pub fn start(config: &TracesConfig) -> Result<Self, ExporterBuildError> {
        let Some(endpoint) = &config.otlp_endpoint else {
            return Ok(Self(None));
        };
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
        let mut resource = Resource::builder();
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("runnel");
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        // An Err says that there is one already, which then goes on.
        let _ = TRACER.set(provider.tracer("runnel"));
        Ok(Self(Some(provider)))
    }

    /// Sends what is not sent yet. Blocks, for two seconds at most.
    pub fn finish(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown_with_timeout(FINISH_DEADLINE)
        {
            tracing::warn!("the last spans were not exported: {error}");
        }
    }
}

/// Makes spans of calls, if spans are wanted; what is then done for a call belongs to its span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallTraces;

/// The span of a call.
#[derive(Debug)]
pub(crate) struct CallSpan(Option<Span>);

impl Observer for CallTraces {
    type Call = CallSpan;

    fn began(&self, call: &mut CallHead) -> CallSpan {
        let span = begin(call);
        if let Some(span) = &span {
            call.set_trace(trace_parent(span.span_context()));
        }
        CallSpan(span)
    }
}

impl ObservedCall for CallSpan {
    fn ended(&mut self, _call: &CallHead, end: &CallEnd) {
        if let Some(span) = self.0.take() {
            export(span, end.code);
        }
    }
}

fn begin(call: &CallHead) -> Option<Span> {
    let tracer = TRACER.get()?;
    // What clients make up must not become names.
    let name = call.kind().map_or("unknown", |_| call.path().trim_start_matches('/'));
    let mut attributes = vec![
        KeyValue::new("rpc.system", "grpc"),
        KeyValue::new("network.protocol.name", call.protocol().as_str()),
    ];
    if let Some((service, method)) = name.rsplit_once('/') {
        attributes.push(KeyValue::new("rpc.service", service.to_owned()));
        attributes.push(KeyValue::new("rpc.method", method.to_owned()));
    }
    if let Some(peer) = call.peer() {
        attributes.push(KeyValue::new("network.peer.address", peer.ip().to_string()));
        attributes.push(KeyValue::new("network.peer.port", i64::from(peer.port())));
    }
    let span = SpanBuilder::from_name(name.to_owned())
        .with_kind(SpanKind::Server)
        .with_attributes(attributes);
    Some(tracer.build_with_context(span, &parent(call)))
}

/// Exports the span of a call that ended so.
fn export(mut span: Span, code: Code) {
    span.set_attribute(KeyValue::new("rpc.grpc.status_code", i64::from(i32::from(code))));
    if is_error(code) {
        span.set_status(Status::error(code_name(code)));
    }
    span.end();
}

/// What a call has for its `traceparent` that is made in this span.
fn trace_parent(span: &SpanContext) -> TraceParent {
    let trace = u128::from_be_bytes(span.trace_id().to_bytes());
    let parent = u64::from_be_bytes(span.span_id().to_bytes());
    TraceParent::new(trace, parent, span.trace_flags().to_u8())
}

/// The span that the call comes from, if it comes from one.
fn parent(call: &CallHead) -> Context {
    let parent = call.trace().and_then(|parent| {
        let flags = u8::from_str_radix(parent.flags(), 16).ok()?;
        Some(SpanContext::new(
            TraceId::from_hex(parent.trace_id()).ok()?,
            SpanId::from_hex(parent.parent_id()).ok()?,
            TraceFlags::new(flags),
            true,
            TraceState::default(),
        ))
    });
    parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent))
}

/// The codes that are a server's fault, as the conventions have it.
const fn is_error(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use opentelemetry_proto::tonic::{
        collector::trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
        common::v1::any_value::Value,
        trace::v1::{Span, span, status::StatusCode},
    };
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
        sync::{mpsc, oneshot},
        task::JoinHandle,
    };
    use tonic::{
        Request, Response,
        transport::{Server, server::TcpIncoming},
    };

    use super::*;
    use crate::config::{AccessConfig, BackendConfig, ServeConfig};

    struct Collector(mpsc::UnboundedSender<ExportTraceServiceRequest>);

    #[tonic::async_trait]
    impl TraceService for Collector {
        async fn export(
            &self,
            request: Request<ExportTraceServiceRequest>,
        ) -> Result<Response<ExportTraceServiceResponse>, tonic::Status> {
            self.0.send(request.into_inner()).unwrap();
            Ok(Response::new(ExportTraceServiceResponse::default()))
        }
    }

    /// A `getAll` of this many items, in this trace.
    async fn call(server: SocketAddr, length: i8, trace: &str) {
        let message = if length < 0 {
            // A negative number takes all ten bytes of a varint.
            vec![0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]
        } else {
            vec![0x08, length.unsigned_abs()]
        };
        let mut request = format!(
            "POST /api.Api/getAll HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web\r\n\
             traceparent: 00-{trace}-{PARENT}-01\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            5 + message.len()
        )
        .into_bytes();
        request.extend([0, 0, 0, 0, u8::try_from(message.len()).unwrap()]);
        request.extend(message);
        let mut stream = TcpStream::connect(server).await.unwrap();
        stream.write_all(&request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
    }

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const FORWARDED_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "00f067aa0ba902b7";

    fn attribute(span: &Span, key: &str) -> Option<Value> {
        span.attributes.iter().find(|pair| pair.key == key)?.value.clone()?.value
    }

    /// A server, and what ends it.
    async fn start(
        config: ServeConfig,
    ) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<Result<(), crate::ServeError>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, begin_shutdown) = oneshot::channel();
        let served = tokio::spawn(crate::serve(listener, config, async {
            let _: Result<(), _> = begin_shutdown.await;
        }));
        (address, shutdown, served)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_call_is_a_span_of_its_trace_and_a_backends_span_is_below_ours() {
        let (exported, mut collected) = mpsc::unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let collector = TraceServiceServer::new(Collector(exported));
        let collector = Server::builder().add_service(collector);
        tokio::spawn(collector.serve_with_incoming(TcpIncoming::from(listener)));
        let traces = Traces::start(&TracesConfig { otlp_endpoint: Some(endpoint) }).unwrap();

        let (server, end_server, server_served) = start(ServeConfig::default()).await;
        let backend = BackendConfig {
            backend: vec![format!("http://{server}").parse().unwrap()],
            ..BackendConfig::default()
        };
        let access =
            AccessConfig { trusted_proxies: vec![server.ip().into()], ..AccessConfig::default() };
        let (front, end_front, front_served) =
            start(ServeConfig { access, backend, ..ServeConfig::default() }).await;
        call(server, 3, TRACE).await;
        call(server, -1, TRACE).await;
        call(front, 3, FORWARDED_TRACE).await;
        drop(end_front);
        front_served.await.unwrap().unwrap();
        drop(end_server);
        server_served.await.unwrap().unwrap();
        tokio::task::block_in_place(|| traces.finish());

        let mut spans = Vec::new();
        while let Ok(request) = collected.try_recv() {
            let resources = request.resource_spans.into_iter();
            spans.extend(resources.flat_map(|all| all.scope_spans).flat_map(|all| all.spans));
        }
        // Other tests of this process may make calls, too.
        let of = |trace| TraceId::from_hex(trace).unwrap().to_bytes();
        let parent = SpanId::from_hex(PARENT).unwrap().to_bytes();
        let forwarded = spans.extract_if(.., |span| span.trace_id == of(FORWARDED_TRACE));
        let mut forwarded: Vec<_> = forwarded.collect();
        forwarded.sort_by_key(|span| span.parent_span_id != parent);
        let [at_front, at_backend] = &forwarded[..] else { panic!("two of {forwarded:?}") };
        assert_eq!(at_front.parent_span_id, parent);
        assert_eq!(at_backend.parent_span_id, at_front.span_id);

        spans.retain(|span| span.trace_id == of(TRACE));
        assert_eq!(spans.len(), 2, "{spans:?}");
        for (span, code) in spans.iter().zip([0, 3]) {
            assert_eq!(span.name, "api.Api/getAll");
            assert_eq!(span.kind(), span::SpanKind::Server);
            assert_eq!(span.parent_span_id, parent);
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
            let is = |key, value| assert_eq!(attribute(span, key), Some(value), "{key}");
            is("rpc.system", Value::StringValue("grpc".into()));
            is("rpc.service", Value::StringValue("api.Api".into()));
            is("rpc.method", Value::StringValue("getAll".into()));
            is("rpc.grpc.status_code", Value::IntValue(code));
            is("network.peer.address", Value::StringValue("127.0.0.1".into()));
            // What the client did wrong is no error of the server.
            let status = span.status.as_ref().map_or(0, |status| status.code);
            assert_eq!(status, StatusCode::Unset as i32);
        }
    }
}
