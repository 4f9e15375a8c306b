//! What the page of Runnel knows apart from the browser: how to call the server ([`api`]), how to
//! hold and show many rows ([`rows`], [`viewport`]), how to read a form ([`input`]) and how to put
//! things in words ([`words`]).
//!
//! Nothing here touches the DOM, so all of it is tested natively. The page itself is the binary of
//! this package; it exists only on wasm32.

pub mod api;
pub mod input;
pub mod rows;
pub mod viewport;
pub mod words;
