//! Responses of calls that a layer ends before they reach their service.

use std::{
    error::Error,
    future::{Ready, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Frame;
use tonic::{Code, Status, body::Body};
use tonic_types::{ErrorDetails, StatusExt as _};

/// When a refused client may try again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// A response that is only a status, and is there at once.
pub(crate) type Refused<E> = Ready<Result<Response<Body>, E>>;

/// The limit that a call was refused by; in the extensions of the response.
#[derive(Clone, Copy, Debug)]
pub(super) struct RefusedBy(pub(super) &'static str);

/// Ends a call before it reaches its service.
pub(crate) fn refuse<E>(status: &Status) -> Refused<E> {
    ready(Ok(status.clone().into_http()))
}

/// The response to a call that is over a limit; the limit goes along, so that the refusal is counted.
pub(super) fn refusal_by(limit: RefusedBy, status: &Status) -> Response<Body> {
    let mut response = status.clone().into_http();
    response.extensions_mut().insert(limit);
    response
}

/// A status as the last frame of a response.
#[doc(hidden)]
pub fn trailers_of(status: &Status) -> Result<Frame<Bytes>, Status> {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers)?;
    Ok(Frame::trailers(trailers))
}

/// `RESOURCE_EXHAUSTED`, with the advice to try again in a moment: for a service with limits of its own.
pub fn try_again_later(why: &impl Error) -> Status {
    let details = ErrorDetails::with_retry_info(Some(RETRY_DELAY));
    Status::with_error_details(Code::ResourceExhausted, why.to_string(), details)
}

#[cfg(test)]
mod tests {
    use runnel_limits::concurrency::LimitReached;

    use super::*;

    #[test]
    fn a_refusal_says_when_to_try_again() {
        let status = try_again_later(&LimitReached::Total { what: "calls", limit: 3 });
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(RETRY_DELAY));
    }
}
