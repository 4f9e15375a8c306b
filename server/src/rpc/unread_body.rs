//! Keeps reading a request body that its handler dropped.
//!
//! A call can be answered before its body has come: too large, unknown method. On HTTP/1.1 hyper then
//! closes the connection under a client that is still writing, and the client sees a broken pipe where
//! the answer should be. So the rest is read and thrown away, within bounds. HTTP/2 resets the one
//! stream and needs none of this.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http::{Request, Version};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;

/// Twice the largest message: a client of good will that sent one message has then sent it all.
const UNREAD_LIMIT_BYTES: usize = 2 * super::MESSAGE_LIMIT_BYTES;
const UNREAD_LIMIT: Duration = Duration::from_secs(2);

/// Reads on where a handler stops reading.
pub(super) fn read_away(request: Request<Body>) -> Request<Body> {
    if request.version() < Version::HTTP_2 {
        request.map(|body| Body::new(ReadOnDrop(body)))
    } else {
        request
    }
}

/// A body that is read to its end, in the background, when it is dropped before it.
#[derive(Debug)]
struct ReadOnDrop(Body);

impl http_body::Body for ReadOnDrop {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for ReadOnDrop {
    fn drop(&mut self) {
        if self.0.is_end_stream() {
            return;
        }
        let rest = std::mem::take(&mut self.0);
        // No runtime, no connection to keep.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(UNREAD_LIMIT, read_to_end(rest)));
        }
    }
}

async fn read_to_end(mut body: Body) {
    let mut unread_bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        unread_bytes += frame.data_ref().map_or(0, Bytes::len);
        if unread_bytes > UNREAD_LIMIT_BYTES {
            return;
        }
    }
}
