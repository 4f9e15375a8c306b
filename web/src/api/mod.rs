//! The client: the three calls of the contract, plain values out, one error type.
//!
//! It is generic over the transport, so the page drives it through the browser's `fetch` and the
//! tests through a socket. It holds no policy yet: deadlines, retries and resuming belong here too,
//! between [`ApiClient`] and the generated client, when they come.

mod client;
mod code;
mod error;
mod stream;

pub use client::ApiClient;
pub use code::code_name;
pub use error::{ApiError, FieldViolation};
pub use runnel_protos::api::Item;
pub use stream::ItemStream;
