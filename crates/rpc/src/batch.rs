//! Large writes for every stream that has its messages ready.
//!
//! tonic's encoder fills up to 32 KiB before it gives them away, as long as the next message is there.
//! But tokio's sources (channels, timers, `tokio_stream`) pretend now and then that it is not, so that
//! no task hogs a thread; each time, a few hundred bytes went out by themselves. The socket that the
//! bytes go to keeps that rule too, and it alone is enough: here the stream is polled outside of it.
//!
//! Nothing is held back: what is ready goes out as soon as the next message really is not.

use std::{
    future::{Future as _, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::coop::unconstrained;
use tonic::{Status, body::Body};

/// Has the body's encoder fill its buffer.
pub(super) fn batched(inner: Body) -> Body {
    Body::new(BatchedBody(inner))
}

struct BatchedBody(Body);

impl http_body::Body for BatchedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Self(inner) = &mut *self;
        pin!(unconstrained(poll_fn(|cx| Pin::new(&mut *inner).poll_frame(cx)))).poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt as _, stream};
    use http_body_util::BodyExt as _;
    use runnel_protos::api::Item;
    use tokio::sync::mpsc;
    use tonic::codec::{Codec as _, EncodeBody, SingleMessageCompressionOverride};
    use tonic_prost::ProstCodec;

    /// The body of a method that gets its items through a channel, as most do.
    fn body(mut items: mpsc::Receiver<Item>) -> Body {
        let items = stream::poll_fn(move |cx| items.poll_recv(cx).map(|item| item.map(Ok)));
        Body::new(EncodeBody::new_server(
            ProstCodec::<Item, Item>::default().encoder(),
            items,
            None,
            SingleMessageCompressionOverride::Inherit,
            None,
        ))
    }

    fn item(id: i32) -> Item {
        Item { id, name: format!("name {id}") }
    }

    #[tokio::test]
    async fn a_channel_full_of_messages_goes_out_in_few_frames() {
        let (sender, receiver) = mpsc::channel(1000);
        for id in 1..=1000 {
            sender.try_send(item(id)).unwrap();
        }
        drop(sender);
        let mut sent = BatchedBody(body(receiver));
        let mut data_frames = 0;
        while let Some(frame) = sent.frame().await {
            data_frames += usize::from(frame.unwrap().is_data());
        }
        // 1000 items are less than one buffer of 32 KiB.
        assert_eq!(data_frames, 1);
    }

    #[tokio::test]
    async fn what_is_ready_is_not_held_back() {
        let (sender, receiver) = mpsc::channel(10);
        let mut sent = BatchedBody(body(receiver));
        for id in 1..=3 {
            sender.try_send(item(id)).unwrap();
            let frame = sent.frame().now_or_never().expect("at once").unwrap().unwrap();
            assert!(frame.is_data());
            assert!(sent.frame().now_or_never().is_none(), "and no more than there is");
        }
    }
}
