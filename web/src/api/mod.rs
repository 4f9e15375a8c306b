//! The client of `api.Api`: the three calls of the contract, over `runnel-client`.
//!
//! | file | what it knows |
//! |---|---|
//! | `client` | each call as an async function |
//! | `stream` | `getStream`, made again for each part of a stream |
//! | `position` | which items are here and what to ask for next: no time, no wire |
//!
//! It is generic over the [`Transport`](runnel_client::Transport), so the page drives it through the
//! browser's `fetch` and the tests through a socket.

mod client;
mod position;
mod stream;
#[cfg(test)]
mod tests;

use runnel_client::CallError;

pub use client::ApiClient;
pub use position::Position;
pub use runnel_protos::api::Item;
pub use stream::{GetStream, ItemStream};

use crate::rows::Full;

impl From<Full> for CallError {
    fn from(full: Full) -> Self {
        Self::Protocol { detail: full.to_string() }
    }
}
