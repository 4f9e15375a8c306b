//! What access is set by.

use runnel_limits::client::TrustedProxies;

use super::origin::Origin;

/// Who may call from within a browser, and which proxies are trusted.
#[derive(Clone, Debug, Default)]
pub struct AccessSettings {
    /// The origins of other pages that may call.
    pub allowed_origins: Vec<Origin>,
    /// The origins at which people open the server's own page, if a proxy in front changes the host. Their pages
    /// may call, and a server on loopback answers for their hosts.
    pub public_origins: Vec<Origin>,
    /// Names of hosts that a server on loopback answers for, beside localhost and addresses; see
    /// [`parse_host`](super::parse_host).
    pub allowed_hosts: Vec<String>,
    /// The proxies that say which client a call comes from, and which host that client called.
    pub trusted_proxies: TrustedProxies,
    /// What the settings are called where refusals name them.
    pub names: SettingNames,
}

/// What an operator calls the settings: a refusal says which one would have let the call pass.
#[derive(Clone, Copy, Debug)]
pub struct SettingNames {
    /// [`AccessSettings::allowed_origins`], such as `--cors-origin`.
    pub allowed_origins: &'static str,
    /// [`AccessSettings::public_origins`].
    pub public_origins: &'static str,
    /// [`AccessSettings::allowed_hosts`].
    pub allowed_hosts: &'static str,
}

impl Default for SettingNames {
    fn default() -> Self {
        Self {
            allowed_origins: "allowed_origins",
            public_origins: "public_origins",
            allowed_hosts: "allowed_hosts",
        }
    }
}
