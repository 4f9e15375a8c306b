//! Which pages may call, beside the server's own.

use clap::Args;

use crate::access::{hosts::parse_host, origins::Origin};

/// Access from within browsers.
#[derive(Args, Clone, Debug, Default)]
pub struct AccessConfig {
    /// An origin whose pages may call, such as `https://app.example`, or with one label left open,
    /// `https://*.preview.example`; repeat it, or separate several by commas. Without any, only the server's
    /// own page may.
    #[arg(long, env = "RUNNEL_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub cors_origin: Vec<Origin>,

    /// A host name that a server on loopback answers for, beside localhost and addresses: that of a
    /// proxy in front of it, or with one label left open, `*.preview.example`. Repeat it, or separate several by commas.
    #[arg(
        long,
        env = "RUNNEL_ALLOW_HOST",
        value_name = "HOST",
        value_delimiter = ',',
        value_parser = parse_host
    )]
    pub allow_host: Vec<String>,
}
