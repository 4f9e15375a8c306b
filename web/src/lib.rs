//! The parts of Runnel's page that do not need a browser: calling the server ([`api`]), storing and showing
//! many rows ([`rows`], [`viewport`]), reading a form ([`input`]), and wording ([`words`]).
//!
//! Nothing here touches the DOM, so all of it is tested natively. The page itself is the binary of
//! this package; it exists only on wasm32.

pub mod api;
pub mod input;
pub mod rows;
pub mod viewport;
pub mod words;
