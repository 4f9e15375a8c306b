//! One call to one backend, from the head of its request to the head of its response.

use std::{
    future::{Future as _, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use h2::RecvStream;
use http::{Request, Response};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, body::Body};

use super::{
    connection::Connection,
    endpoint::Lease,
    fault::Fault,
    request_body::{RequestBody, Sending},
    response_body::{self, ResponseBody},
};

/// How a call went wrong before its response began.
pub(super) enum Failure {
    /// The client's request broke off, or broke a rule.
    Request(Status),
    /// The backend did not respond. With the request's body, which may have grown too long to be sent again.
    Backend(Fault, RequestBody),
}

/// Makes a call with `lease`; `head` is made by [`super::headers`].
pub(super) async fn attempt(
    lease: Lease,
    head: Request<()>,
    mut body: RequestBody,
) -> Result<Response<Body>, Failure> {
    let first = body.piece_that_is_there().await.map_err(Failure::Request)?;
    let lost = |error: &h2::Error| Fault::of_stream(error, lease.connection.ended());
    let (response, stream) =
        match lease.connection.sender().send_request(head, first.is_none() && body.is_end_stream())
        {
            Ok(sent) => sent,
            // The connection went away since it was chosen; nothing was sent.
            Err(error) => {
                lease.connection.leave();
                let fault = match lost(&error) {
                    Fault::GoneAway(reason) => Fault::GoneAway(reason),
                    _ => Fault::GoneAway(h2::Reason::NO_ERROR),
                };
                return Err(Failure::Backend(fault, body));
            }
        };
    let unread = (Arc::clone(&lease.endpoint.unread), lease.client);
    let mut sending = Sending::new(first, body, stream, &lease.connection.windows, unread);
    let unanswered = Unanswered(&lease.connection);
    let (response, sent) =
        head_of_response(response, &mut sending).await.map_err(Failure::Request)?;
    std::mem::forget(unanswered);
    let mut response = match response {
        Ok(response) => response,
        Err(error) => {
            let fault = lost(&error);
            if let Fault::GoneAway(_) = fault {
                // That is no fault of a server that lets no connection grow old.
                lease.connection.leave();
            } else {
                lease.endpoint.broke(&fault);
            }
            return Err(Failure::Backend(fault, sending.into_body()));
        }
    };
    if let Err(fault) = response_body::check(&mut response) {
        lease.endpoint.broke(&fault);
        return Err(Failure::Backend(fault, sending.into_body()));
    }
    let mut request = response_body::Request { _counted: sending.counted(), ..Default::default() };
    if !sent {
        let fault = request.fault.clone();
        sending.body_mut().forget();
        request.sending = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(status) = poll_fn(|cx| sending.poll(cx)).await {
                // The response, which is reset by now, tells it.
                let _ = fault.set(status);
            }
        })));
    }
    Ok(ResponseBody::wrap(response, lease, request))
}

/// A call that is cancelled if this is dropped.
struct Unanswered<'a>(&'a Connection);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.0.cancelled();
    }
}

/// Sends the request and waits for the response's head; with it, whether all was sent.
async fn head_of_response(
    mut response: h2::client::ResponseFuture,
    sending: &mut Sending,
) -> Result<(Result<Response<RecvStream>, h2::Error>, bool), Status> {
    let mut sent = false;
    poll_fn(|cx| {
        if !sent && let Poll::Ready(outcome) = sending.poll(cx) {
            outcome?;
            sent = true;
        }
        Pin::new(&mut response).poll(cx).map(|response| Ok((response, sent)))
    })
    .await
}
