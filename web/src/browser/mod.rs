//! The few things of the browser that Leptos does not wrap: one idea per file.

pub(crate) mod clock;
pub(crate) mod crash;
pub(crate) mod focus;
pub(crate) mod page;
pub(crate) mod resize;
pub(crate) mod task;
pub(crate) mod transport;
pub(crate) mod turns;
pub(crate) mod valve;
