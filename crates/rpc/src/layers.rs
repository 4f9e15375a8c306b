//! The layers around every call, outermost first. They know HTTP and gRPC, and no service.
//!
//! | layer | why |
//! |---|---|
//! | `CorsLayer` | pages of named origins may call and read the response; without any it is not there |
//! | [`client`](runnel_limits::client) | which client a call comes from, if a proxy that is trusted names it |
//! | [`normalize`] | right verb, one spelling of the content type, or a clear HTTP error |
//! | [`base64_body`] | gRPC-Web text is read here, whatever the pieces it comes in |
//! | [`call_context`] | which method it calls, for the layers within |
//! | `GrpcWebLayer` | gRPC-Web, binary and text, to gRPC and back |
//! | [`observe`] | an [observer](super::observer) is told of each call once, with the status it really ended with |
//! | [`filter`](mod@super::filter) of [`access`](super::access) | a page of another origin may not call; on loopback, only calls for a name that is ours |
//! | [`admission`] | how many calls may be open |
//! | [`response_limits`] | the size of a response's messages and metadata; no status behind half a message |
//! | [`response_quota`] | how many bytes of large responses are held |
//! | [`drain`] | what is open when the server ends is told so |
//! | [`deadline`] | the call ends in time, its stream included |
//! | [`batch`] | large writes for every stream |
//! | [`trailers`] | trailers with an OK response |
//! | [`raw_body`] | a method may write its stream's bytes itself |
//! | [`request_timeout`] | the request of a stream comes in time |
//! | [`request_limits`] | the size and number of request messages, and how many bytes of them are held |
//!
//! What refuses a call sits inside `GrpcWebLayer`, so that its response reaches a browser well-formed.

use std::convert::Infallible;

use http::{HeaderName, HeaderValue, Request, Response};
use runnel_limits::quota::Quota;
use tonic::body::Body;
use tonic_web::GrpcWebLayer;
use tower::{Service, ServiceBuilder};
use tower_http::set_header::SetResponseHeaderLayer;

use super::{
    access::Access,
    admission, base64_body, batch, call_context,
    calls::Calls,
    deadline,
    descriptor_error::DescriptorError,
    drain::{self, Drain},
    filter::filter,
    limits::Limits,
    methods::KnownMethods,
    normalize::{self, Formats},
    observe,
    observer::Observer,
    raw_body,
    refusal::{RefusedBy, refusal_by},
    request_limits, request_timeout, response_limits, response_quota,
    services::Services,
    trace_parent::TraceTrust,
    trailers,
};

/// The layers around every call, which are to be put [around services](Self::around).
///
/// A new one has the default [`Limits`] and [`Access`], and no observer.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Layers<O = ()> {
    limits: Limits,
    quota: Option<Quota>,
    access: Access,
    drain: Drain,
    observer: O,
    forwards: bool,
}

impl Layers {
    /// The layers with their defaults.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<O: Observer> Layers<O> {
    /// How much a call may cost.
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The quota of bytes of messages held, if a service or another server shares it. Without it, the layers
    /// make one of their own from [`Limits::held_bytes`].
    pub fn with_quota(mut self, quota: Quota) -> Self {
        self.quota = Some(quota);
        self
    }

    /// Which pages may call, and which proxies are trusted. Without it there is no protection from DNS rebinding:
    /// that needs [`Access::new`] and the address that the server listens on.
    pub fn with_access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// What ends open calls when the server ends.
    pub fn with_drain(mut self, drain: Drain) -> Self {
        self.drain = drain;
        self
    }

    /// What is told of every call.
    pub fn with_observer<P: Observer>(self, observer: P) -> Layers<P> {
        let Self { limits, quota, access, drain, observer: _, forwards } = self;
        Layers { limits, quota, access, drain, observer, forwards }
    }

    /// The service forwards calls to another server, which decodes them. So messages of any format pass, and the
    /// bytes of request messages do not count towards the quota, because nothing gathers them here. A client's
    /// `traceparent` goes on only if a trusted proxy sent it; other calls get a new one.
    ///
    /// The service should tell the other server how much time is left, and the format of the messages: see
    /// [`CallContext::deadline`](super::CallContext::deadline) and
    /// [`CallContext::format`](super::CallContext::format).
    pub const fn forwarding(mut self) -> Self {
        self.forwards = true;
        self
    }

    /// Puts the layers around `services`.
    ///
    /// # Errors
    /// If a descriptor set with which a service was described is invalid.
    pub fn around(self, services: Services) -> Result<Calls, DescriptorError> {
        let methods = services.methods()?;
        Ok(self.around_service(services.into_dispatch(), methods.into()))
    }

    /// Puts the layers around any service of plain gRPC, such as tonic's `Routes`. `methods` says what kind each
    /// of its methods is; a call of a method that is not in there counts as a stream.
    pub fn around_service<S>(self, service: S, methods: KnownMethods) -> Calls
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let Self { limits, quota, access, drain, observer, forwards } = self;
        let Limits { message_bytes, request_timeout, unary_deadline, .. } = limits;
        let held = quota.unwrap_or_else(|| limits.quota());
        // What is forwarded goes on as it comes.
        let gathered = (!forwards).then(|| held.clone());
        let cors = access.cors();
        let proxies = access.trusted_proxies().clone();
        let (formats, trace_trust) = if forwards {
            (Formats::Any, TraceTrust::Proxies(proxies.clone()))
        } else {
            (Formats::Protobuf, TraceTrust::Everyone)
        };
        let service = ServiceBuilder::new()
            // nginx buffers responses unless told not to, and a stream would come all at once.
            .layer(SetResponseHeaderLayer::overriding(
                HeaderName::from_static("x-accel-buffering"),
                HeaderValue::from_static("no"),
            ))
            .option_layer(cors)
            .map_request(move |request| proxies.name_client(request))
            .map_response(normalize::spell_response)
            .layer(filter(move |request: &mut Request<Body>| {
                match normalize::normalize(request, formats) {
                    Ok((protocol, format)) => {
                        call_context::begin(request, protocol, format);
                        None
                    }
                    Err(refusal) => Some(refusal.into_response()),
                }
            }))
            .map_request(base64_body::decode)
            .map_request(move |request| call_context::look_up(request, &methods))
            .layer(GrpcWebLayer::new())
            .layer(observe::ObserveLayer::new(observer, trace_trust))
            .layer(filter(move |request: &mut Request<Body>| {
                let (rule, status) = access.refusal(request)?;
                Some(refusal_by(RefusedBy(rule), &status))
            }))
            .layer(admission::AdmissionLayer::new(
                limits.unary,
                limits.streams,
                limits.cancels_per_address,
            ))
            .layer(response_limits::ResponseLimitsLayer::new(limits.response))
            .layer(response_quota::ResponseQuotaLayer::new(held))
            .layer(drain::DrainLayer::new(drain))
            .layer(deadline::DeadlineLayer::new(unary_deadline))
            .map_response(|response: Response<Body>| response.map(batch::batched))
            .map_response(trailers::send)
            .map_response(raw_body::send)
            .map_request(move |request| request_timeout::in_time(request, request_timeout))
            .map_request(move |request| {
                request_limits::guard(request, message_bytes, gathered.as_ref())
            })
            .service(service);
        Calls::new(service)
    }
}
