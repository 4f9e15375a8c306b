//! Runnel under the [connectrpc conformance suite][suite]: calls made by somebody else's clients,
//! judged by somebody else's rules, answered through the layers and the `serve` that the product has.
//!
//! The suite starts a program, tells it on standard input what to be or to call, and reads on standard
//! output where it is or what came of it:
//!
//! | room | what it does |
//! |---|---|
//! | [`framing`] | messages on those two pipes |
//! | `proto` | the suite's messages and service, generated |
//! | `server` | the program `conformance-server`, from its request to SIGTERM |
//! | `service` | the suite's service: answers exactly as each call says it should |
//! | `client` | the program `conformance-client`: has a page in a browser make the calls |
//! | `page` | that page, in wasm: makes each call as its case says |
//! | `headers` | headers and trailers, to and from the suite's messages |
//!
//! The suite's protos are not in this repository. `cargo xtask conformance` finds them and builds this
//! crate with them; any other build leaves out whatever needs them, and the programs then say so.
//!
//! [suite]: https://github.com/connectrpc/conformance

pub mod framing;

#[cfg(conformance_protos)]
mod headers;
#[cfg(conformance_protos)]
pub mod proto;

#[cfg(all(conformance_protos, not(target_arch = "wasm32")))]
pub mod client;
#[cfg(all(conformance_protos, not(target_arch = "wasm32")))]
pub mod server;
#[cfg(all(conformance_protos, not(target_arch = "wasm32")))]
mod service;

#[cfg(all(conformance_protos, target_arch = "wasm32"))]
pub mod page;
