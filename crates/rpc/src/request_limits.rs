//! The limits of a request's messages.
//!
//! - A message over the limit is RESOURCE_EXHAUSTED, as the gRPC status guide says and every other
//!   server does; tonic says OUT_OF_RANGE.
//! - A method that takes one message and gets none or several is UNIMPLEMENTED, as the guide says too:
//!   client and server then disagree on the method's kind. tonic takes the first and ignores the rest.
//!   <https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>
//!
//! The body then ends with the status, which tonic passes on unchanged.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Request;
use http_body::{Frame, SizeHint};
use runnel_limits::quota::Quota;
use tonic::{Status, body::Body};

use super::{
    call_context::{self, CallContext},
    envelope::{EnvelopeWalk, Fault},
    refusal::try_again_later,
    request_quota::RequestQuota,
    tally::Received,
};

/// Holds request messages to their size and number, and to `quota` if they are gathered until they are
/// whole. Those of up to `limit_bytes`, without their prefix and as they are on the wire, pass.
pub(super) fn guard(
    request: Request<Body>,
    limit_bytes: usize,
    quota: Option<&Quota>,
) -> Request<Body> {
    let kind = call_context::kind(request.extensions());
    let single = kind.is_some_and(|kind| !kind.client_streaming);
    let walk = EnvelopeWalk::new(limit_bytes, single);
    let received = request.extensions().get().and_then(CallContext::received).cloned();
    let held = quota.map(|quota| RequestQuota::of(&request, quota, single, limit_bytes));
    request.map(|inner| {
        Body::new(GuardedBody { inner, walk, received, fault: None, held, passing: None })
    })
}

/// A request body that passes while it keeps the rules and ends with a status where it breaks one.
struct GuardedBody {
    inner: Body,
    walk: EnvelopeWalk,
    received: Option<Arc<Received>>,
    /// Found behind bytes that were sound and had to pass first.
    fault: Option<Fault>,
    /// What is held of it; None if it is forwarded as it comes.
    held: Option<RequestQuota>,
    /// Waits until there is room for it.
    passing: Option<Frame<Bytes>>,
}

impl GuardedBody {
    /// Passes a frame on when there is room for what it adds.
    fn poll_pass(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(held) = &mut self.held
            && let Err(full) = ready!(held.poll_hold(cx, self.walk.come_bytes()))
        {
            self.passing = None;
            return Poll::Ready(Some(Err(try_again_later(&full))));
        }
        Poll::Ready(self.passing.take().map(Ok))
    }
}

impl Drop for GuardedBody {
    fn drop(&mut self) {
        // The handler has the message now.
        let holding = self.held.take().and_then(RequestQuota::into_message);
        if let (Some(holding), Some(received)) = (holding, &self.received) {
            received.keep(holding);
        }
    }
}

impl http_body::Body for GuardedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.passing.is_some() {
            return self.poll_pass(cx);
        }
        if let Some(fault) = self.fault.take() {
            return Poll::Ready(Some(Err(fault.into())));
        }
        if self.walk.is_between_messages()
            && let Some(held) = &mut self.held
        {
            held.asked_for_the_next();
        }
        let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(cx)).transpose()? else {
            return Poll::Ready(self.walk.end().err().map(|fault| Err(fault.into())));
        };
        let Some(data) = frame.data_ref() else {
            return Poll::Ready(Some(Ok(frame)));
        };
        let (sound_bytes, walked) = self.walk.walk(data);
        if let Some(received) = &self.received {
            received.count(data.len(), self.walk.messages());
        }
        if let Some(held) = &mut self.held {
            held.saw(&data[..sound_bytes]);
        }
        self.passing = Some(match walked {
            Ok(()) => frame,
            Err(fault) if sound_bytes == 0 => return Poll::Ready(Some(Err(fault.into()))),
            Err(fault) => {
                let sound = data.slice(..sound_bytes);
                self.fault = Some(fault);
                Frame::data(sound)
            }
        });
        self.poll_pass(cx)
    }

    fn is_end_stream(&self) -> bool {
        // An empty body must still be found to be one.
        self.fault.is_none()
            && self.passing.is_none()
            && self.walk.end().is_ok()
            && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
