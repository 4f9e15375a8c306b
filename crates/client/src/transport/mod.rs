//! How calls leave a browser: tonic-web-wasm-client, between layers that compensate for its faults.
//!
//! ```text
//! a generated client
//!     │  mended     sends every header, ends each answer rightly, says why with a typed error
//!     │  library    tonic-web-wasm-client: the request, the messages
//!     │  fetch      stands in for the global `fetch` while the library runs
//!     ▼  pieces     lets messages pass, holds back trailers
//! the browser
//! ```
//!
//! `fetch` and `pieces` tell `mended` through an [`exchange`](Exchange) how a call ended. What they know of
//! the protocol is plain Rust and tested natively: [`answer`] judges, by [`frames`] and [`trailers`]. Each
//! file names the faults of the library that it stands in for; `tests/transport` shows each in a browser,
//! and fails when the library has corrected it, so that our correction can be removed.

#[doc(hidden)]
pub mod answer;
mod error;
mod exchange;
#[cfg(target_arch = "wasm32")]
mod fetch;
#[cfg(target_arch = "wasm32")]
mod fetch_error;
#[doc(hidden)]
pub mod frames;
mod mended;
#[cfg(target_arch = "wasm32")]
mod pieces;
#[doc(hidden)]
pub mod request;
mod service;
#[doc(hidden)]
pub mod trailers;

pub use error::TransportError;
#[doc(hidden)]
pub use exchange::Exchange;
pub use mended::{Mended, MendedBody, Unary};
pub use service::Transport;

#[cfg(target_arch = "wasm32")]
use tonic_web_wasm_client::options::{FetchOptions, Redirect};

/// The largest message that gRPC clients, and tonic's too, accept by default.
pub const MESSAGE_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// The transport of a page.
#[cfg(target_arch = "wasm32")]
pub type FetchTransport = Mended<fetch::DecoratedFetch<tonic_web_wasm_client::Client>>;

/// A transport to the server from which the page was loaded; in a worker, the server from which its script
/// was loaded.
#[cfg(target_arch = "wasm32")]
#[must_use]
pub fn same_origin() -> FetchTransport {
    let location = js_sys::Reflect::get(&js_sys::global(), &"location".into()).unwrap_or_default();
    let origin = js_sys::Reflect::get(&location, &"origin".into()).unwrap_or_default();
    by_fetch(origin.as_string().unwrap_or_default(), MESSAGE_LIMIT_BYTES)
}

/// A transport to the server at `base_url` by `fetch`, as binary gRPC-Web. The URL has a scheme and an
/// authority, and no slash at its end. Add a path if a proxy serves the server below that path. A message
/// of more than `message_limit_bytes` is refused before it is received.
#[cfg(target_arch = "wasm32")]
#[must_use]
pub fn by_fetch(base_url: String, message_limit_bytes: usize) -> FetchTransport {
    // A redirect that is followed ends, at a page to sign in on, as if there were no network.
    let options = FetchOptions::new().redirect(Redirect::Manual);
    let library = tonic_web_wasm_client::Client::new_with_options(base_url, options);
    Mended::new(fetch::DecoratedFetch::new(library, message_limit_bytes))
}
