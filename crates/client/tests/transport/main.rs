//! The client in a browser, called through what tonic generated for a service that is not ours. What goes
//! around tonic-web-wasm-client: each answer given to our transport, and to the library as it comes. And,
//! in `policy`, what goes around the calls.
//!
//! A test named `upstream_…` holds the library to its fault. When it fails, the library has been
//! mended, and what stands in for that fault in `crates/client/src/transport` can go.

#![cfg(target_arch = "wasm32")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod answers;
mod calls;
mod messages;
mod policy;
mod requests;
mod scripted;
mod statuses;
mod trailers;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
