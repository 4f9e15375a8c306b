#![doc = include_str!("../README.md")]
//! # How it is made
//!
//! | file | what it knows |
//! |---|---|
//! | `calls` | calls with a policy: deadline and retries |
//! | `messages` | one answer of a stream, which must not fall silent |
//! | `stream`, `resume` | the stream that is resumed where it broke, by a cursor of the caller's |
//! | `recovery` | when to resume and when to give up: no wire |
//! | `policy`, `backoff`, `budget` | how long, how often, how much at all |
//! | `network` | waiting for a better moment; `browser_network` knows when that is |
//! | `clock`, `awake` | time and chance; time without the time that the machine slept |
//! | `error`, `interposed` | why a call failed: the one reader of a status, and what stood in the place of one |
//! | [`transport`] | how calls leave a browser |

#[cfg(any(test, target_arch = "wasm32"))]
mod awake;
mod backoff;
#[cfg(target_arch = "wasm32")]
mod browser_network;
mod budget;
mod calls;
mod clock;
mod connection;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod interposed;
mod messages;
mod network;
mod policy;
mod recovery;
mod resume;
mod stream;
mod terms;
pub mod transport;

pub use backoff::Backoff;
#[cfg(target_arch = "wasm32")]
pub use browser_network::BrowserNetwork;
pub use budget::RetryBudget;
pub use calls::Calls;
pub use connection::Connection;
pub use error::{CallError, FieldViolation};
pub use messages::Messages;
pub use policy::{Policy, Retry};
pub use resume::{Accept, Resume};
pub use runnel_wire::code_name;
pub use stream::{MaybeSend, ResumableStream, StreamingCall};
/// What says whether there is a network; see [`Calls::with_network`].
pub use tokio::sync::watch;
pub use transport::Transport;
#[cfg(target_arch = "wasm32")]
pub use transport::same_origin;
