//! The gRPC backends that calls are forwarded to.

use std::{path::PathBuf, sync::LazyLock, time::Duration};

use clap::{ArgAction, Args};
use runnel_forward::{BackendAuthority, BackendUrl, ClientCertificate, DEFAULT_PORT, Settings};

use super::numbers;

/// The defaults of the library.
static DEFAULT: LazyLock<Settings> = LazyLock::new(Settings::default);

/// Where calls are forwarded to, and how; without a backend, the server answers them itself.
#[derive(Args, Clone, Debug)]
pub struct BackendConfig {
    /// A gRPC server to forward every call to: http://HOST:PORT, with TLS https://HOST:PORT, or unix:PATH; other
    /// targets of gRPC clients, such as `dns:///HOST:PORT`, are accepted, too. Repeat the option, or separate
    /// several by commas. All addresses of all names share the calls.
    #[arg(long, env = "RUNNEL_BACKEND", value_name = "URL", value_delimiter = ',')]
    pub backend: Vec<BackendUrl>,

    /// The host of a single backend without TLS; not used if --backend is set. Its variable is that of the
    /// original compose file.
    #[arg(long, env = "BACKEND_HOST", value_name = "HOST", value_parser = host)]
    pub backend_host: Option<String>,

    /// The port that goes with --backend-host.
    #[arg(
        long,
        env = "BACKEND_PORT",
        value_name = "PORT",
        value_parser = port,
        default_value_t = DEFAULT_PORT
    )]
    pub backend_port: u16,

    /// A PEM file with certificates to trust instead of the system's: a backend needs one of them, or a
    /// certificate that one of them has issued.
    #[arg(long, env = "RUNNEL_BACKEND_CA", value_name = "FILE")]
    pub backend_ca: Option<PathBuf>,

    /// A PEM file with the certificate that this server shows to backends, and those up to its root.
    #[arg(
        long,
        env = "RUNNEL_BACKEND_CLIENT_CERT",
        value_name = "FILE",
        requires = "backend_client_key"
    )]
    pub backend_client_cert: Option<PathBuf>,

    /// A PEM file with the private key of that certificate.
    #[arg(
        long,
        env = "RUNNEL_BACKEND_CLIENT_KEY",
        value_name = "FILE",
        requires = "backend_client_cert"
    )]
    pub backend_client_key: Option<PathBuf>,

    /// The name that a backend's certificate must have, instead of the host in its URL.
    #[arg(long, env = "RUNNEL_BACKEND_SERVER_NAME", value_name = "NAME")]
    pub backend_server_name: Option<String>,

    /// The :authority of calls to backends, HOST or HOST:PORT, instead of host and port of the URL; or the word
    /// "client" for the authority that each client called. Routers that choose a service by its name need it. For
    /// TLS see --backend-server-name.
    #[arg(long, env = "RUNNEL_BACKEND_AUTHORITY", value_name = "HOST")]
    pub backend_authority: Option<BackendAuthority>,

    /// How long a call waits for a connection to a backend, and a health check for its response.
    #[arg(
        long,
        env = "RUNNEL_BACKEND_CONNECT_TIMEOUT",
        value_name = "DURATION",
        default_value = numbers::written(DEFAULT.connect_timeout),
        value_parser = numbers::duration
    )]
    pub backend_connect_timeout: Duration,

    /// How often connections to backends are pinged; 0s for only after a failed health check. Most gRPC servers
    /// close connections that are pinged more often than every 5m.
    #[arg(
        long,
        env = "RUNNEL_BACKEND_KEEPALIVE",
        value_name = "DURATION",
        default_value = numbers::written(DEFAULT.keepalive.unwrap_or_default()),
        value_parser = numbers::duration_or_zero
    )]
    pub backend_keepalive: Duration,

    /// How often the health of each address of a backend is checked.
    #[arg(
        long,
        env = "RUNNEL_BACKEND_HEALTH_INTERVAL",
        value_name = "DURATION",
        default_value = numbers::written(DEFAULT.health_interval),
        value_parser = numbers::duration
    )]
    pub backend_health_interval: Duration,

    /// How often the names of backends are resolved again.
    #[arg(
        long,
        env = "RUNNEL_BACKEND_RESOLVE_INTERVAL",
        value_name = "DURATION",
        default_value = numbers::written(DEFAULT.resolve_interval),
        value_parser = numbers::duration
    )]
    pub backend_resolve_interval: Duration,

    /// Whether backends are asked through grpc.reflection for the kind of each of their methods, unary or
    /// stream; with false every forwarded call counts as a stream.
    #[arg(
        long,
        env = "RUNNEL_BACKEND_REFLECTION",
        value_name = "BOOL",
        default_value_t = DEFAULT.reflection,
        action = ArgAction::Set
    )]
    pub backend_reflection: bool,
}

impl BackendConfig {
    /// Every backend; none if the server is to answer itself.
    pub(crate) fn urls(&self) -> Vec<BackendUrl> {
        if self.backend.is_empty() {
            let host = self.backend_host.as_deref();
            // The host was checked when it was parsed.
            host.and_then(|host| BackendUrl::plain(host, self.backend_port).ok())
                .into_iter()
                .collect()
        } else {
            self.backend.clone()
        }
    }

    /// What these options say; the rest has its defaults.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::to(self.urls());
        settings.authority.clone_from(&self.backend_authority);
        settings.ca.clone_from(&self.backend_ca);
        let files = (self.backend_client_cert.clone(), self.backend_client_key.clone());
        if let (Some(certificate), Some(key)) = files {
            settings.client_certificate = Some(ClientCertificate { certificate, key });
        }
        settings.server_name.clone_from(&self.backend_server_name);
        settings.connect_timeout = self.backend_connect_timeout;
        settings.keepalive = numbers::unless_zero(self.backend_keepalive);
        settings.health_interval = self.backend_health_interval;
        settings.resolve_interval = self.backend_resolve_interval;
        settings.reflection = self.backend_reflection;
        settings
    }
}

impl Default for BackendConfig {
    fn default() -> Self {
        Self {
            backend: Vec::new(),
            backend_host: None,
            backend_port: DEFAULT_PORT,
            backend_ca: None,
            backend_client_cert: None,
            backend_client_key: None,
            backend_server_name: None,
            backend_authority: None,
            backend_connect_timeout: DEFAULT.connect_timeout,
            backend_keepalive: DEFAULT.keepalive.unwrap_or_default(),
            backend_health_interval: DEFAULT.health_interval,
            backend_resolve_interval: DEFAULT.resolve_interval,
            backend_reflection: DEFAULT.reflection,
        }
    }
}

fn host(text: &str) -> Result<String, String> {
    let url = BackendUrl::plain(text, DEFAULT_PORT);
    url.map(|_| text.to_owned()).map_err(|_| "a host is a name or an address".to_owned())
}

/// In a pod beside a service named `backend`, Kubernetes sets `BACKEND_PORT=tcp://10.0.0.1:50051`.
fn port(text: &str) -> Result<u16, String> {
    let number = text.strip_prefix("tcp://").and_then(|address| address.rsplit_once(':'));
    let number = number.map_or(text, |(_, port)| port);
    let port = number.parse::<u16>().ok().filter(|port| *port != 0);
    port.ok_or_else(|| "a port is a number from 1 to 65535".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_may_be_as_kubernetes_writes_it() {
        assert_eq!(port("50051"), Ok(50051));
        assert_eq!(port("tcp://10.0.0.1:50052"), Ok(50052));
        assert_eq!(port("tcp://[fd00::1]:50053"), Ok(50053));
        for bad in ["", "0", "65536", "-1", "http", "tcp://10.0.0.1"] {
            assert!(port(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_option_that_is_not_given_has_the_default_of_the_library() {
        let settings = BackendConfig::default().settings();
        assert_eq!(format!("{settings:?}"), format!("{:?}", Settings::default()));
    }

    #[test]
    fn the_two_names_of_the_original_mean_a_backend() {
        let named = |host: &str| BackendConfig {
            backend_host: super::host(host).ok(),
            backend_port: 7,
            ..BackendConfig::default()
        };
        let urls = |config: &BackendConfig| {
            config.urls().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(urls(&named("backend")), ["http://backend:7"]);
        assert_eq!(urls(&named("")), [""; 0]);
        let both =
            BackendConfig { backend: vec!["http://other:1".parse().unwrap()], ..named("backend") };
        assert_eq!(urls(&both), ["http://other:1"]);
        assert!(super::host("not a host").is_err());
    }
}
