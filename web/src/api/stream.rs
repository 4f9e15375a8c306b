//! [`ItemStream`]: the answer to `getStream`.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use runnel_protos::api::Item;
use tonic::Streaming;

use super::ApiError;

/// Items in the order the server sent them. Ends after the first error. Dropping it cancels the
/// call, and not reading it holds the server back.
#[derive(Debug)]
pub struct ItemStream {
    /// `None` once it has ended.
    open: Option<Streaming<Item>>,
}

impl ItemStream {
    pub(super) fn new(open: Streaming<Item>) -> Self {
        Self { open: Some(open) }
    }
}

impl Stream for ItemStream {
    type Item = Result<Item, ApiError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(open) = &mut self.open else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(open).poll_next(cx).map_err(ApiError::from);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.open = None;
        }
        polled
    }
}
