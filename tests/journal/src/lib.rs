//! A service of somebody else's, as tonic generates it, for the tests and examples of `runnel-client`;
//! and a transport that answers by a script, for tests of how calls are made.

#[cfg(not(target_arch = "wasm32"))]
pub mod script;

tonic::include_proto!("journal");
