//! Which pages may call besides the server's own, and which proxies are trusted.

use std::net::IpAddr;

use clap::Args;
use ipnet::IpNet;
use runnel_limits::client::TrustedProxies;
use runnel_rpc::access::{AccessSettings, Origin, SettingNames, parse_host};

/// What refusals call the options.
pub(crate) const SETTING_NAMES: SettingNames = SettingNames {
    allowed_origins: "--cors-origin",
    public_origins: "--public-origin",
    allowed_hosts: "--allow-host",
};

/// Access from within browsers and through proxies.
#[derive(Args, Clone, Debug, Default)]
pub struct AccessConfig {
    /// An origin whose pages may call, such as `https://app.example`; a star stands for one label, as in
    /// `https://*.preview.example`. Repeat the option, or separate several origins by commas. Without it, only
    /// the server's own page may call.
    #[arg(long, env = "RUNNEL_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub cors_origin: Vec<Origin>,

    /// The origin at which people open the server's own page, such as `http://app.example:8080`, if a proxy in
    /// front of the server changes the host. Pages of this origin may call, and a server that listens on
    /// loopback answers for its host. Repeat the option, or separate several origins by commas.
    #[arg(
        long,
        env = "RUNNEL_PUBLIC_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ',',
        value_parser = parse_one_origin
    )]
    pub public_origin: Vec<Origin>,

    /// A host name for which a server that listens on loopback answers, besides localhost and IP addresses: for
    /// instance the name that a proxy sends. A star stands for one label, as in `*.preview.example`. Repeat the
    /// option, or separate several names by commas.
    #[arg(
        long,
        env = "RUNNEL_ALLOW_HOST",
        value_name = "HOST",
        value_delimiter = ',',
        value_parser = parse_host
    )]
    pub allow_host: Vec<String>,

    /// The address of a trusted proxy in front of this server, or a network of such proxies (10.0.0.0/8). The
    /// server believes its x-forwarded-for, or forwarded, about which client a call comes from, for the log and
    /// for all limits per address except that on connections; and its x-forwarded-host and forwarded about which
    /// page is the server's own. A backend gets its x-forwarded-*, forwarded, via and traceparent. Repeat the
    /// option, or separate several addresses by commas.
    #[arg(
        long = "trusted-proxy",
        env = "RUNNEL_TRUSTED_PROXIES",
        value_name = "NETWORK",
        value_delimiter = ',',
        value_parser = network
    )]
    pub trusted_proxies: Vec<IpNet>,
}

impl AccessConfig {
    /// The same as the layers know it.
    pub(crate) fn settings(&self) -> AccessSettings {
        AccessSettings {
            allowed_origins: self.cors_origin.clone(),
            public_origins: self.public_origin.clone(),
            allowed_hosts: self.allow_host.clone(),
            trusted_proxies: TrustedProxies::new(&self.trusted_proxies),
            names: SETTING_NAMES,
        }
    }
}

/// An origin without a star.
fn parse_one_origin(text: &str) -> Result<Origin, String> {
    if text.contains('*') {
        return Err(
            "name each origin at which people open the page; a star may stand in --cors-origin"
                .to_owned(),
        );
    }
    text.parse::<Origin>().map_err(|why| why.to_string())
}

fn network(text: &str) -> Result<IpNet, String> {
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    parsed.map_err(|_| "a network is an address, or an address and /BITS".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trusted_proxy_is_an_address_or_a_network() {
        for (text, parsed) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("2001:db8::1", "2001:db8::1/128"),
        ] {
            assert_eq!(network(text).map(|network| network.to_string()).as_deref(), Ok(parsed));
        }
        for bad in ["", "10.0.0.0/33", "proxy"] {
            assert!(network(bad).is_err(), "{bad:?}");
        }
    }
}
