//! The layers around every RPC, outermost first. They know HTTP and gRPC, and no service.
//!
//! | layer | why |
//! |---|---|
//! | `CorsLayer` | pages of named origins may call and read the answer; without any it is not there |
//! | [`client`](runnel_limits::client) | which client a call comes from, if a proxy that is trusted names it |
//! | [`normalize`] | right verb, one spelling of the content type, or a clear HTTP error |
//! | [`base64_body`] | gRPC-Web text is read here, whatever the pieces it comes in |
//! | [`methods`] | what kind of method it is, for the layers within |
//! | `GrpcWebLayer` | gRPC-Web, binary and text, to gRPC and back |
//! | [`observe`] | an [observer] is told of each call once, with the status it really ended with |
//! | [`check`](check()) of [`access`](crate::access) | a page of another origin may not call; on loopback, only calls for a name that is ours |
//! | [`admission`] | how many calls may be open |
//! | [`answer`] | the size of answered messages and metadata; no status behind half a message |
//! | [`answer_room`] | how many bytes of large answers are held |
//! | [`drain`] | what is open when the server ends is told so |
//! | [`deadline`] | the call ends in time, its stream included |
//! | [`batch`] | large writes for every stream |
//! | [`trailers`] | trailers with an OK answer |
//! | [`raw_body`] | a method may write its stream's bytes itself |
//! | [`arrival`] | the request of a stream comes in time |
//! | [`envelope`] | the size and number of request messages, and how many bytes of them are held |
//!
//! What refuses a call sits inside `GrpcWebLayer`, so that its answer reaches a browser well-formed.

pub mod admission;
pub mod answer;
pub(crate) mod answer_room;
mod arrival;
pub(crate) mod base64_body;
mod batch;
mod check;
pub mod deadline;
pub(crate) mod descriptors;
pub mod drain;
pub mod ending;
pub mod envelope;
pub mod methods;
pub mod normalize;
mod observe;
pub mod observer;
pub mod raw_body;
pub(crate) mod refusal;
mod request_room;
pub mod tally;
pub mod trace_parent;
pub mod trailers;

#[cfg(test)]
mod interleavings;

use std::{convert::Infallible, time::Duration};

use http::{HeaderName, HeaderValue, Request, Response};
use runnel_limits::{Limit, quota::Quota};
use tonic::body::Body;
use tonic_web::GrpcWebLayer;
use tower::{Service, ServiceBuilder, util::BoxCloneSyncService};
use tower_http::set_header::SetResponseHeaderLayer;

use self::{
    check::check,
    normalize::{Formats, Refusal},
    observer::Observer,
    refusal::{RefusedBy, refusal_by},
    trace_parent::TraceTrust,
};
use crate::access::Access;

/// The largest message that every gRPC client takes unless told otherwise, in bytes: 4 MiB.
pub const MESSAGE_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// How the content type of every flavour of gRPC begins.
pub(crate) const CONTENT_TYPE_PREFIX: &[u8] = b"application/grpc";

/// What a call may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest request message, in bytes.
    pub message_bytes: usize,
    /// What an answer may have.
    pub answer: answer::AnswerLimits,
    /// How long a unary call may take, whatever its client allows; None for as long as it takes.
    pub unary_deadline: Option<Duration>,
    /// How long the request of a method that takes one message and sends many may take to come; None for
    /// as long as it takes.
    pub request_timeout: Option<Duration>,
    /// Whether calls go on to somebody else, who must be told how long they may take.
    pub forwards: bool,
    /// Unary calls open at once.
    pub unary: Limit,
    /// Streams open at once.
    pub streams: Limit,
    /// Calls that one client may cancel at once, and again every ten seconds; 0 for any number.
    pub cancels_per_address: u32,
    /// Bytes of messages held at once.
    pub held: Quota,
}

/// The service behind all layers, for every RPC.
pub type Rpc = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Puts the layers around `service`, which answers plain gRPC; `observer` is told of its calls.
pub(crate) fn layers<S, O>(
    service: S,
    methods: methods::KnownMethods,
    limits: &Limits,
    drain: drain::Drain,
    observer: O,
    access: &Access,
    trace_trust: TraceTrust,
) -> Rpc
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    O: Observer,
{
    let &Limits { message_bytes, request_timeout, .. } = limits;
    // What is forwarded goes on as it comes.
    let gathered = (!limits.forwards).then(|| limits.held.clone());
    let deadline = if limits.forwards {
        deadline::DeadlineLayer::telling(limits.unary_deadline)
    } else {
        deadline::DeadlineLayer::new(limits.unary_deadline)
    };
    let (cors, access) = (access.origins.cors(), access.clone());
    let proxies = access.proxies.clone();
    let formats = match trace_trust {
        TraceTrust::Everyone => Formats::Protobuf,
        // A backend decodes, not we.
        TraceTrust::Proxies(_) => Formats::Any,
    };
    let service = ServiceBuilder::new()
        // nginx buffers answers unless told not to, and a stream would come all at once.
        .layer(SetResponseHeaderLayer::overriding(
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ))
        .option_layer(cors)
        .map_request(move |request| proxies.name_client(request))
        .map_response(normalize::spell_answer)
        .layer(check(move |request: &mut Request<Body>| {
            normalize::normalize(request, formats).err().map(Refusal::into_response)
        }))
        .map_request(base64_body::decode)
        .map_request(move |request| methods::look_up(request, &methods))
        .layer(GrpcWebLayer::new())
        .layer(observe::ObserveLayer::new(observer, trace_trust))
        .layer(check(move |request: &mut Request<Body>| {
            let (rule, status) = access.refusal(request)?;
            Some(refusal_by(RefusedBy(rule), &status))
        }))
        .layer(admission::AdmissionLayer::new(
            limits.unary,
            limits.streams,
            limits.cancels_per_address,
        ))
        .layer(answer::AnswerLayer::new(limits.answer))
        .layer(answer_room::AnswerRoomLayer::new(limits.held.clone()))
        .layer(drain::DrainLayer::new(drain))
        .layer(deadline)
        .map_response(|response: Response<Body>| response.map(batch::batched))
        .map_response(trailers::send)
        .map_response(raw_body::send)
        .map_request(raw_body::tell_version)
        .map_request(move |request| arrival::in_time(request, request_timeout))
        .map_request(move |request| envelope::guard(request, message_bytes, gathered.as_ref()))
        .service(service);
    BoxCloneSyncService::new(service)
}
