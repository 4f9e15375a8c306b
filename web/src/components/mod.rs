//! What the page is made of: one component per file.

#![expect(unreachable_pub, reason = "the component macro makes every component `pub`")]

pub(crate) mod greeting;
pub(crate) mod length_field;
pub(crate) mod listing;
pub(crate) mod meter;
pub(crate) mod panel;
pub(crate) mod problem;
pub(crate) mod stream_buttons;
pub(crate) mod stream_status;
pub(crate) mod streaming;
pub(crate) mod virtual_list;
