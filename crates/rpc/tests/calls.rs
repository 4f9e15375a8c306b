//! Calls through all layers, in process: what observers are told, and limits that hold whatever a service does.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    future,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Version, header};
use http_body_util::{BodyExt as _, Full};
use runnel_limits::Limit;
use runnel_rpc::{
    CallContext, Calls, Layers, Limits, Protocol, ResponseLimits, Services, Tally,
    methods::MethodKind,
    observer::{CallEnd, CallHead, ObservedCall, Observer},
};
use tokio::time::Instant;
use tonic::{Code, Status, body::Body};
use tower::{ServiceExt as _, service_fn};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// Writes down what it is told.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn note(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Notes {
    type Call = Self;

    fn began(&self, call: &mut CallHead) -> Self {
        let is_described = call.kind().is_some();
        self.note(format!("{} by {}, {is_described}", call.path(), call.protocol().as_str()));
        self.clone()
    }
}

impl ObservedCall for Notes {
    fn refused(&mut self, limit: &'static str) {
        self.note(format!("refused by {limit}"));
    }

    fn ended(&mut self, _call: &CallHead, end: &CallEnd) {
        let Tally { received_messages, received_bytes, sent_messages, sent_bytes } = end.tally;
        self.note(format!(
            "{:?}, {received_messages} of {received_bytes}, {sent_messages} of {sent_bytes}, {:?}",
            end.code, end.refused_by
        ));
    }
}

async fn services() -> Services {
    Services::new().with_health().await.0
}

/// An empty message by plain gRPC.
fn request(path: &str) -> Request<Full<Bytes>> {
    Request::post(path)
        .version(Version::HTTP_2)
        .header(header::CONTENT_TYPE, Protocol::Grpc.content_type())
        .body(Full::from(&[0; 5][..]))
        .unwrap()
}

async fn call(calls: &Calls, path: &str) -> Response<Body> {
    let Ok(response) = calls.clone().oneshot(request(path)).await;
    response
}

/// The status that a response ends with.
async fn status(response: Response<Body>) -> Status {
    if let Some(status) = Status::from_header_map(response.headers()) {
        return status;
    }
    let body = response.into_body().collect().await.unwrap();
    Status::from_header_map(body.trailers().unwrap()).unwrap()
}

#[tokio::test]
async fn an_observer_is_told_of_each_call_once() {
    let (notes, others) = (Notes::default(), Notes::default());
    let limits = Limits { streams: Limit { total: 1, per_address: 1 }, ..Limits::default() };
    let layers = Layers::new().with_limits(limits).with_observer((notes.clone(), others.clone()));
    let calls = layers.around(services().await).unwrap();

    assert_eq!(status(call(&calls, CHECK).await).await.code(), Code::Ok);
    let checked = ["/grpc.health.v1.Health/Check by grpc, true", "Ok, 1 of 5, 1 of 7, None"];
    assert_eq!(notes.take(), checked);

    // A watch goes on, and another is one too many.
    let watch = call(&calls, WATCH).await;
    let refused = status(call(&calls, WATCH).await).await;
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let began = "/grpc.health.v1.Health/Watch by grpc, true";
    let ended = "ResourceExhausted, 0 of 0, 0 of 0, Some(\"max_streams\")";
    assert_eq!(notes.take(), [began, began, "refused by max_streams", ended]);

    // Its client goes away, and has read nothing.
    drop(watch);
    assert_eq!(notes.take(), ["Cancelled, 1 of 5, 0 of 0, None"]);

    assert_eq!(status(call(&calls, "/a.B/c").await).await.code(), Code::Unimplemented);
    assert_eq!(notes.take(), ["/a.B/c by grpc, false", "Unimplemented, 0 of 0, 0 of 0, None"]);
    assert_eq!(others.take().len(), 9, "as many as the first was told");
}

/// The messages of a response are counted once, where they are made or walked. A count that comes along with a
/// response from within must not make the layers around it believe that they need no look.
#[tokio::test]
async fn the_limit_of_messages_holds_also_for_a_service_that_has_layers_of_its_own() {
    let inner = Layers::new().around(services().await).unwrap();
    assert_eq!(status(call(&inner, CHECK).await).await.code(), Code::Ok);

    let response = ResponseLimits { message_bytes: 1, ..ResponseLimits::default() };
    let layers = Layers::new().with_limits(Limits { response, ..Limits::default() });
    let methods = services().await.methods().unwrap();
    let outer = layers.around_service(inner, methods.into());
    assert_eq!(status(call(&outer, CHECK).await).await.code(), Code::ResourceExhausted);
}

/// The layers say what they found out, so that a service need not read headers again: one that forwards calls tells
/// its backend how much time is left, whether the client set the deadline or the operator.
#[tokio::test(start_paused = true)]
async fn a_service_is_told_the_protocol_the_kind_and_the_deadline_of_its_call() {
    let methods = services().await.methods().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let service = {
        let told = Arc::clone(&told);
        service_fn(move |request: Request<Body>| {
            let context = request.extensions().get::<CallContext>().unwrap();
            let left = context.deadline().map(|deadline| deadline - Instant::now());
            let is_unary = context.kind().map(MethodKind::is_unary);
            told.lock().unwrap().push((context.protocol(), is_unary, left));
            future::ready(Ok(Status::ok("").into_http()))
        })
    };
    let limits = Limits { unary_deadline: Some(Duration::from_mins(1)), ..Limits::default() };
    let calls = Layers::new().with_limits(limits).around_service(service, methods.into());
    for (path, content_type, timeout) in [
        (CHECK, Protocol::Grpc, None),
        (CHECK, Protocol::GrpcWeb, Some("10S")),
        (CHECK, Protocol::GrpcWebText, Some("70S")),
        (WATCH, Protocol::Grpc, None),
        (WATCH, Protocol::Grpc, Some("70S")),
        // It may be a stream, which the cap of unary calls must not end.
        ("/a.B/unknown", Protocol::Grpc, Some("70S")),
        ("/a.B/unknown", Protocol::Grpc, Some("10S")),
    ] {
        let mut request = request(path);
        let content_type = content_type.content_type().parse().unwrap();
        request.headers_mut().insert(header::CONTENT_TYPE, content_type);
        if let Some(timeout) = timeout {
            request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
        }
        let Ok(response) = calls.clone().oneshot(request).await;
        assert_eq!(response.status(), http::StatusCode::OK);
    }
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let told = told.lock().unwrap();
    assert_eq!(
        *told,
        [
            (Protocol::Grpc, Some(true), seconds(60)),
            (Protocol::GrpcWeb, Some(true), seconds(10)),
            (Protocol::GrpcWebText, Some(true), seconds(60)),
            (Protocol::Grpc, Some(false), None),
            (Protocol::Grpc, Some(false), seconds(70)),
            (Protocol::Grpc, None, seconds(70)),
            (Protocol::Grpc, None, seconds(10)),
        ]
    );
}
