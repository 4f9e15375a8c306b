//! Every test that needs a running server. `cargo xtask test` builds what they need.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod admin;
mod answer_limits;
mod asleep;
mod backend;
mod bad_input;
mod behind_proxies;
mod binary;
mod browser;
mod calls;
mod cancels;
mod connections;
mod drain;
mod early_answers;
mod endings;
mod faults;
mod file_limit;
mod floods;
mod half_close;
mod headers;
mod heads;
mod in_the_way;
mod interop;
mod keyboard_and_colours;
mod kubernetes;
mod logs;
mod memory;
mod metrics;
mod not_the_page;
mod origins;
mod other_pages;
mod own_product;
mod page;
mod page_prefix;
mod reflection;
mod resume;
mod rolling_restart;
mod rows;
mod tls;
mod translated;
mod trunk_serve;
mod trusted_proxies;
mod unloaded;
mod wire;
