//! Where calls come from: which pages may call, beside the server's own, and which proxies are believed.

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

    /// The address of a proxy in front of this server, or a network of proxies (10.0.0.0/8), that is believed.
    /// Its x-forwarded-for, or forwarded, says which client a call comes from: for the log, and for every bound
    /// for one address but that on connections. Its x-forwarded-host and forwarded say which page is the
    /// server's own. With a backend its x-forwarded-*, forwarded, via and traceparent go on there. Repeat it,
    /// or separate several by commas.
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
