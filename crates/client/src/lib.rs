//! Calls gRPC-Web from a browser, by `fetch`, with any client that tonic generated: [`transport`].

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod transport;
