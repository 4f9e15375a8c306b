//! What the layers know of a call: one value in the extensions of its request, which each layer adds to.

use std::sync::Arc;

use http::{Extensions, Request};
use tokio::time::Instant;

use super::{
    methods::{KnownMethods, Method, MethodKind},
    normalize::{Format, Protocol},
    tally::Received,
};

/// What is known of a call. The layers put it into the extensions of the request that a service gets, so a service can
/// read it there: `request.extensions().get::<CallContext>()`, which is None if no layers are around the service.
///
/// The default is that of a call in plain gRPC, of a method that no descriptor describes, without a deadline.
#[derive(Clone, Debug)]
pub struct CallContext {
    protocol: Protocol,
    format: Option<Format>,
    method: Option<Method>,
    deadline: Option<Instant>,
    received: Option<Arc<Received>>,
}

impl Default for CallContext {
    fn default() -> Self {
        Self::new(Protocol::Grpc, None)
    }
}

impl CallContext {
    const fn new(protocol: Protocol, format: Option<Format>) -> Self {
        Self { protocol, format, method: None, deadline: None, received: None }
    }

    /// The protocol of the call.
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The format of its messages, if that is not protobuf. Only [forwarded](super::Layers::forwarding) calls may have
    /// another one.
    pub const fn format(&self) -> Option<&Format> {
        self.format.as_ref()
    }

    /// The kind of its method; None if no descriptor describes the method.
    pub fn kind(&self) -> Option<MethodKind> {
        self.method.as_ref().map(Method::kind)
    }

    /// When the call ends as `DEADLINE_EXCEEDED`, its stream included: at the deadline that its client has set, or
    /// after [`Limits::unary_deadline`](super::Limits::unary_deadline) if it is a unary call and that is earlier. None
    /// if nothing limits the whole call.
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) const fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    pub(super) const fn received(&self) -> Option<&Arc<Received>> {
        self.received.as_ref()
    }
}

/// The protocol of the call whose request has these extensions.
pub(super) fn protocol(extensions: &Extensions) -> Protocol {
    extensions.get().map_or(Protocol::Grpc, CallContext::protocol)
}

/// The kind of its method; None if no descriptor describes the method.
pub(super) fn kind(extensions: &Extensions) -> Option<MethodKind> {
    extensions.get().and_then(CallContext::kind)
}

/// Whether it is a call of a method that is known to be unary.
pub(super) fn is_unary(extensions: &Extensions) -> bool {
    kind(extensions).is_some_and(MethodKind::is_unary)
}

/// A call begins. What layers outside of these found out is of another call, so it goes.
pub(super) fn begin<B>(request: &mut Request<B>, protocol: Protocol, format: Option<Format>) {
    request.extensions_mut().insert(CallContext::new(protocol, format));
}

/// Says which method it calls, if that is known.
pub(super) fn look_up<B>(mut request: Request<B>, methods: &KnownMethods) -> Request<B> {
    let method = methods.method(request.uri().path());
    of(&mut request).method = method;
    request
}

/// Says where its request's messages are counted.
pub(super) fn set_received<B>(request: &mut Request<B>, received: &Arc<Received>) {
    of(request).received = Some(Arc::clone(received));
}

/// Says when it ends.
pub(super) fn set_deadline<B>(request: &mut Request<B>, deadline: Option<Instant>) {
    of(request).deadline = deadline;
}

fn of<B>(request: &mut Request<B>) -> &mut CallContext {
    request.extensions_mut().get_or_insert_default()
}
