//! The client: the three calls of the contract, plain values out, one error type, and one policy that
//! loses nothing.
//!
//! | file | what it knows |
//! |---|---|
//! | `client` | each call as an async function; deadline and retries of the unary ones |
//! | `stream` | the stream that is resumed where it broke |
//! | `resume` | which items are here and what to ask for next: no time, no wire |
//! | `recovery` | when to resume and when to give up: no wire |
//! | `policy`, `backoff`, `budget` | how long, how often, how much at all |
//! | `network` | waiting for a better moment |
//! | `clock` | time and chance, of the browser or of tokio |
//! | `awake` | time without the time that the machine slept |
//! | `error` | why a call failed; the one reader of a status |
//! | `interposed` | what stood in the place of a status |
//!
//! It is generic over the [`Transport`], so the page drives it through the browser's `fetch` and the
//! tests through a socket.

#[cfg(any(test, target_arch = "wasm32"))]
mod awake;
mod backoff;
mod budget;
mod client;
mod clock;
mod connection;
mod error;
mod interposed;
mod network;
mod policy;
mod recovery;
mod resume;
#[cfg(test)]
mod scripted;
mod stream;
#[cfg(test)]
mod tests;
mod transport;

pub use backoff::Backoff;
pub use budget::RetryBudget;
pub use client::ApiClient;
pub use connection::Connection;
pub use error::{ApiError, FieldViolation};
pub use policy::Policy;
pub use runnel_protos::api::Item;
pub use runnel_wire::code_name;
pub use stream::ItemStream;
pub use transport::Transport;
