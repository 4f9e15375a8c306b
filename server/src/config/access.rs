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

    /// The origin at which people open this server's own page, such as `http://app.example:8080`, if a
    /// proxy in front of it changes the host; its pages may call, and a server on loopback answers for its
    /// host. Repeat it, or separate several by commas.
    #[arg(
        long,
        env = "RUNNEL_PUBLIC_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ',',
        value_parser = parse_one_origin
    )]
    pub public_origin: Vec<Origin>,

    /// A host name that a server on loopback answers for, beside localhost and addresses: that of a
    /// proxy in front of it, or with one label left open, `*.preview.example`. Repeat it, or separate several
    /// by commas.
    #[arg(
        long,
        env = "RUNNEL_ALLOW_HOST",
        value_name = "HOST",
        value_delimiter = ',',
        value_parser = parse_host
    )]
    pub allow_host: Vec<String>,
}

/// An origin, and no pattern of several.
fn parse_one_origin(text: &str) -> Result<Origin, String> {
    if text.contains('*') {
        return Err(
            "name each origin at which people open the page; a star may stand in --cors-origin"
                .to_owned(),
        );
    }
    text.parse::<Origin>().map_err(|why| why.to_string())
}
