//! What a call costs Runnel's server, beside plain tonic and the least that hyper can do.
//!
//! The servers are processes of their own and measured from outside; the client is this process, the
//! same for all. Rounds alternate between the servers, so that what else the machine does falls on
//! all of them alike. `docs/BENCHMARKS.md` says how to read what comes out.
//!
//! | room | what it does |
//! |---|---|
//! | [`contract`] | the calls: what is asked, and the bytes that must come back |
//! | [`limit`] | the floor: hyper sending bytes that are encoded already |
//! | [`plain`] | the obvious tonic server |
//! | [`client`] | one client for all of them, which checks each answer and throws it away |
//! | [`unary`], [`memory`] | many callers at once; many readers that stop reading, or read slowly |
//! | [`process`] | a server as a process: where it listens, its CPU time, its memory |
//! | [`run`] | the rounds |
//! | [`load`], [`tls`] | 2,000 open streams, over TLS too, and a drain under them |
//! | [`fronts`], [`envoy`] | the same beside Envoy, in front of one backend |
//! | [`report`] | medians, ranges, ratios |

pub mod client;
pub mod contract;
pub mod envoy;
pub mod fronts;
pub mod limit;
pub mod load;
pub mod memory;
pub mod plain;
pub mod process;
pub mod report;
pub mod run;
pub mod tls;
pub mod unary;
