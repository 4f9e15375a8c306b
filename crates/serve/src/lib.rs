#![doc = include_str!("../README.md")]
//!
//! # The modules
//!
//! | module | what it does |
//! |---|---|
//! | `server` | accepts connections, refuses those over the limit, drains |
//! | `settings`, `observer`, `service` | what a server is given |
//! | `handshake` | finds out whether a client speaks TLS, and which version of HTTP |
//! | `connection` | one connection's life: its age, its end |
//! | `idle` | how long a connection may be idle |
//! | `http` | how hyper is set up, and a request's way to the service |
//! | `calls` | the requests of one connection, counted |
//! | `head_size`, `head_timer` | how large the head of a request may be, and how long it may take |
//! | `discard_body` | reads and discards the rest of a request's body that the service did not read |
//! | `half_close` | clients over HTTP/1.1 that close their side right behind their request |
//! | `socket` | TCP, its options, and a close that loses nothing |
//! | `write_coalescing` | fewer and larger writes over HTTP/2 |
//! | `reading`, `stream_task`, `unsent` | responses that their clients do not read |
//! | `tls` | the certificates |
//! | `listen`, `file_limit` | what a process needs before it can serve |
//!
//! The accept loop is our own, on hyper's connections. `axum::serve` has none of these limits; `axum-server`
//! has some, but shuts down all its connections or none, so that it cannot ask a single one to go when that
//! is old or idle, and it closes sockets under clients that still read.

mod calls;
mod connection;
mod discard_body;
mod file_limit;
mod half_close;
mod handshake;
mod head_size;
mod head_timer;
mod http;
mod idle;
mod listen;
mod log_throttle;
mod observer;
mod reading;
mod server;
mod service;
mod settings;
mod socket;
mod stream_task;
mod tls;
mod unsent;
mod write_coalescing;

pub use self::{
    file_limit::{FileLimit, raise_file_limit},
    listen::listen,
    observer::Observer,
    server::Server,
    service::HttpService,
    settings::Settings,
    tls::{Tls, TlsFiles},
};

// Types of other crates that a user of this one meets.
pub use runnel_limits::{
    Limit, MustBeRead, WriteSize,
    client::{Encrypted, Peer},
    concurrency::LimitReached,
};
pub use runnel_tls::TlsError;
pub use tonic::body::Body;
