//! A span for each call, exported to an OpenTelemetry collector: the cargo feature `otel`.
//!
//! A span is made when its call is over, from what the log line has too. It belongs to the trace that
//! the client's `traceparent` names, or begins one. Names and attributes are those of the semantic
//! conventions: <https://opentelemetry.io/docs/specs/semconv/rpc/grpc/>.

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime},
};

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
    trace::{SdkTracer, SdkTracerProvider},
};
use tonic::Code;

use crate::{config::TracesConfig, rpc::observe::Call};

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

/// Exports the span of a call that took so long and ended so.
pub(crate) fn export(call: &Call, code: Code, took: Duration) {
    let Some(tracer) = TRACER.get() else {
        return;
    };
    let ended = SystemTime::now();
    // What clients make up must not become names.
    let name = call.method().map_or("unknown", |path| path.trim_start_matches('/'));
    let mut attributes = vec![
        KeyValue::new("rpc.system", "grpc"),
        KeyValue::new("rpc.grpc.status_code", i64::from(i32::from(code))),
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
        .with_start_time(ended - took)
        .with_attributes(attributes);
    let mut span = tracer.build_with_context(span, &parent(call));
    if is_error(code) {
        span.set_status(Status::error(runnel_protos::code_name(code)));
    }
    span.end_with_timestamp(ended);
}

/// The client's span, if it named one.
fn parent(call: &Call) -> Context {
    let parent = call.trace_parent().and_then(|parent| {
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
    };
    use tonic::{
        Request, Response,
        transport::{Server, server::TcpIncoming},
    };

    use super::*;
    use crate::config::ServeConfig;

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

    /// A `getAll` of this many items.
    async fn call(server: std::net::SocketAddr, length: i8) {
        let message = if length < 0 {
            // A negative number takes all ten bytes of a varint.
            vec![0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]
        } else {
            vec![0x08, length.unsigned_abs()]
        };
        let mut request = format!(
            "POST /api.Api/getAll HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web\r\n\
             traceparent: 00-{TRACE}-{PARENT}-01\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
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
    const PARENT: &str = "00f067aa0ba902b7";

    fn attribute(span: &Span, key: &str) -> Option<Value> {
        span.attributes.iter().find(|pair| pair.key == key)?.value.clone()?.value
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_call_is_a_span_of_its_clients_trace() {
        let (exported, mut collected) = mpsc::unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let collector = TraceServiceServer::new(Collector(exported));
        let collector = Server::builder().add_service(collector);
        tokio::spawn(collector.serve_with_incoming(TcpIncoming::from(listener)));
        let traces = Traces::start(&TracesConfig { otlp_endpoint: Some(endpoint) }).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, begin_shutdown) = oneshot::channel::<()>();
        let served = tokio::spawn(crate::serve(listener, ServeConfig::default(), async {
            let _ = begin_shutdown.await;
        }));
        call(address, 3).await;
        call(address, -1).await;
        drop(shutdown);
        served.await.unwrap().unwrap();
        tokio::task::block_in_place(|| traces.finish());

        let mut spans = Vec::new();
        while let Ok(request) = collected.try_recv() {
            let resources = request.resource_spans.into_iter();
            spans.extend(resources.flat_map(|all| all.scope_spans).flat_map(|all| all.spans));
        }
        // Other tests of this process may make calls, too.
        let trace = TraceId::from_hex(TRACE).unwrap().to_bytes();
        let parent = SpanId::from_hex(PARENT).unwrap().to_bytes();
        spans.retain(|span| span.trace_id == trace);
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
