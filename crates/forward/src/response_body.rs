//! A backend's response on its way back. Its bytes pass as they are; a response that is no gRPC, or that
//! breaks off, becomes a status.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::RecvStream;
use http::{HeaderMap, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use runnel_rpc::{normalize::Format, refusal::trailers_of};
use runnel_wire::CONTENT_TYPE_PREFIX;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, body::Body};

use super::{
    endpoint::Lease, fault::Fault, flow_control::ResponseFlow, headers, windows::CountedRequest,
};

/// Headers that tell nothing of a call's content.
const SAME_FOR_ALL: [&str; 4] =
    ["content-type", "grpc-status", "grpc-encoding", "grpc-accept-encoding"];

/// Checks the head of a response, and makes it fit for the client's side.
pub(super) fn check(response: &mut Response<RecvStream>) -> Result<(), Fault> {
    let headers = response.headers_mut();
    headers::strip_connection_headers(headers);
    never_index(headers);
    // gRPC-Web adds its trailers to the body.
    headers.remove(header::CONTENT_LENGTH);
    if headers.contains_key(Status::GRPC_STATUS) {
        *response.status_mut() = StatusCode::OK;
        return Ok(());
    }
    if response.status() != StatusCode::OK {
        return Err(Fault::Http(response.status()));
    }
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.map_or(&b""[..], |value| value.as_bytes());
    if content_type.starts_with(CONTENT_TYPE_PREFIX) {
        Ok(())
    } else {
        Err(Fault::ContentType(String::from_utf8_lossy(content_type).into()))
    }
}

/// Keeps metadata out of the compression table of the client's connection, which a proxy may share among its
/// clients: h2 does not say which values the backend wanted kept out (RFC 7541, section 7.1.3).
fn never_index(headers: &mut HeaderMap) {
    for (name, value) in headers.iter_mut() {
        value.set_sensitive(!SAME_FOR_ALL.contains(&name.as_str()));
    }
}

/// The body of a response.
pub(super) struct ResponseBody {
    stream: RecvStream,
    flow: ResponseFlow,
    has_status: bool,
    over: bool,
    lease: Lease,
    request: Request,
}

/// The rest of the call's request, if the response began before its end.
#[derive(Default)]
pub(super) struct Request {
    /// Why the request broke off.
    pub(super) fault: Arc<OnceLock<Status>>,
    /// Sends, and stops when the response is over.
    pub(super) sending: Option<AbortOnDropHandle<()>>,
    /// Counts what the request takes of the connection's window, until the call is over.
    pub(super) _counted: Option<Arc<CountedRequest>>,
}

impl ResponseBody {
    pub(super) fn wrap(
        mut response: Response<RecvStream>,
        lease: Lease,
        request: Request,
    ) -> Response<Body> {
        let has_status = response.headers().contains_key(Status::GRPC_STATUS);
        if let Some(format) = Format::of_answer(response.headers()) {
            response.extensions_mut().insert(format);
        }
        response.map(|mut stream| {
            let flow = ResponseFlow::new(stream.flow_control().clone());
            Body::new(Self { stream, flow, has_status, over: false, lease, request })
        })
    }

    /// The end of a response that broke off: trailers that say so.
    fn broke_off(&mut self, fault: &Fault) -> Result<Frame<Bytes>, Status> {
        self.over = true;
        let status = self.request.fault.get().cloned().unwrap_or_else(|| {
            self.lease.endpoint.broke(fault);
            fault.status(&self.lease.endpoint)
        });
        trailers_of(&status)
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let error = match ready!(self.stream.poll_data(cx)) {
            Some(Ok(data)) => {
                return Poll::Ready(Some(Ok(Frame::data(self.flow.release_when_dropped(data)))));
            }
            Some(Err(error)) => Err(error),
            None => ready!(self.stream.poll_trailers(cx)),
        };
        let fault = match error {
            Ok(Some(mut trailers))
                if self.has_status || trailers.contains_key(Status::GRPC_STATUS) =>
            {
                self.over = true;
                never_index(&mut trailers);
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            Ok(_) if self.has_status => {
                self.over = true;
                return Poll::Ready(None);
            }
            Ok(_) => Fault::NoStatus,
            Err(error) => Fault::of_stream(&error, self.lease.connection.ended()),
        };
        Poll::Ready(Some(self.broke_off(&fault)))
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.has_status && self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_response_says_of_its_content_may_not_be_indexed() {
        let mut headers = HeaderMap::new();
        for name in ["content-type", "grpc-status", "grpc-message", "x-session", "x-data-bin"] {
            headers.insert(name, "1".parse().unwrap());
        }
        never_index(&mut headers);
        let indexed = headers.iter().filter(|(_, value)| !value.is_sensitive());
        let mut indexed: Vec<_> = indexed.map(|(name, _)| name.as_str()).collect();
        indexed.sort_unstable();
        assert_eq!(indexed, ["content-type", "grpc-status"]);
    }
}
