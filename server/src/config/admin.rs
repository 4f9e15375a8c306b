//! The admin port.

use std::net::{AddrParseError, SocketAddr};

use clap::Args;

/// The admin port.
#[derive(Args, Clone, Debug)]
pub struct AdminConfig {
    /// Address and port for `/livez`, `/readyz` and `/metrics`, which must not be reachable from outside. Port 0
    /// takes a free port and logs it; `off`, or an empty value, switches the admin port off.
    #[arg(
        long,
        env = "RUNNEL_ADMIN_LISTEN",
        value_name = "ADDR",
        default_value = DEFAULT_ADMIN_LISTEN,
        value_parser = address_or_nothing
    )]
    // Spelled in full, clap takes it for one type and not for a flag that may be left out.
    pub admin_listen: std::option::Option<SocketAddr>,
}

const DEFAULT_ADMIN_LISTEN: &str = "127.0.0.1:9090";

impl Default for AdminConfig {
    fn default() -> Self {
        Self { admin_listen: Some(SocketAddr::from(([127, 0, 0, 1], 9090))) }
    }
}

fn address_or_nothing(text: &str) -> Result<Option<SocketAddr>, AddrParseError> {
    if matches!(text, "" | "off") { Ok(None) } else { text.parse().map(Some) }
}
