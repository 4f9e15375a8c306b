//! Trailers with an OK response of a unary method. tonic has no way to send them: it knows trailers only
//! with an error. Streaming methods need none of this; they end with `Err(Status)` of code OK.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};

/// Put into the extensions of a [`tonic::Response`], these are sent after its message.
#[derive(Clone, Debug, Default)]
pub struct Trailers(pub HeaderMap);

/// Sees to it that a response's [`Trailers`] are sent.
pub(super) fn send(mut response: Response<Body>) -> Response<Body> {
    match response.extensions_mut().remove::<Trailers>() {
        Some(Trailers(trailers)) => {
            response.map(|inner| Body::new(BodyWithTrailers { inner, trailers }))
        }
        None => response,
    }
}

struct BodyWithTrailers {
    inner: Body,
    trailers: HeaderMap,
}

impl http_body::Body for BodyWithTrailers {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            let mut name = None;
            for (next_name, value) in self.trailers.drain() {
                // A name is given with the first of its values only.
                name = next_name.or(name);
                if let Some(name) = &name {
                    trailers.append(name, value);
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, StreamBody};

    #[tokio::test]
    async fn every_value_of_a_trailer_is_sent_after_the_status() {
        let mut status = HeaderMap::new();
        status.insert("grpc-status", "0".parse().unwrap());
        let frames = futures_util::stream::iter([
            Ok::<_, Status>(Frame::data(Bytes::from_static(b"message"))),
            Ok(Frame::trailers(status)),
        ]);
        let mut trailers = HeaderMap::new();
        for (name, value) in [("x-a", "1"), ("x-a", "2"), ("x-b", "3")] {
            trailers.append(name, value.parse().unwrap());
        }
        let mut response = Response::new(Body::new(StreamBody::new(frames)));
        response.extensions_mut().insert(Trailers(trailers));

        let body = send(response).into_body().collect().await.unwrap();
        let sent = body.trailers().unwrap();
        assert_eq!(sent.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(sent["x-b"], "3");
        assert_eq!(sent["grpc-status"], "0");
    }
}
