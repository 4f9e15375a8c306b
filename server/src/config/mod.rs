//! The command line. Pure: parsing binds nothing and reads no file. Every option has a flag, an
//! environment name and a default. A variable that is set to nothing is not set, and zero is refused unless
//! the option says what it means.

mod access;
mod admin;
mod backend;
mod connections;
mod given;
mod numbers;
mod tls;
#[cfg(feature = "otel")]
mod traces;

use std::{env, ffi::OsString, net::SocketAddr, time::Duration};

use clap::{
    Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum, error::ErrorKind,
};

#[cfg(feature = "otel")]
pub use self::traces::TracesConfig;
pub use self::{
    access::AccessConfig, admin::AdminConfig, backend::BackendConfig,
    connections::ConnectionsConfig, tls::TlsConfig,
};
use crate::{
    places::Bound,
    quota::{self, Quota},
    rpc::{
        Limits, MESSAGE_LIMIT_BYTES,
        answer::{AnswerLimits, METADATA_LIMIT_BYTES},
    },
};

/// One server, one port: the page, gRPC-Web and gRPC.
#[derive(Debug, Parser)]
#[command(
    name = "runnel",
    version,
    args_conflicts_with_subcommands = true,
    after_long_help = RULES
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<CliCommand>,

    // `runnel` alone serves, so its options stand without a subcommand too.
    #[command(flatten)]
    config: ServeConfig,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Serve the page and the API (what `runnel` alone does).
    Serve(Box<ServeConfig>),

    /// Ask the server on the listen address for its health; exit 0 when it says SERVING.
    Healthcheck(Box<HealthcheckConfig>),
}

/// What the process is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve until a signal comes.
    Serve,
    /// Ask a running server for its health.
    Healthcheck,
}

/// Everything a server can be told.
#[derive(Args, Clone, Debug)]
pub struct ServeConfig {
    /// Address and port to listen on; port 0 takes a free one and logs it.
    #[arg(long, env = "RUNNEL_LISTEN", value_name = "ADDR", default_value = DEFAULT_LISTEN)]
    pub listen: SocketAddr,

    /// How long open calls may go on once a shutdown began; what is left then ends as UNAVAILABLE. With
    /// 1ms they end at once.
    #[arg(
        long,
        env = "RUNNEL_DRAIN_DEADLINE",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = numbers::duration
    )]
    pub drain_deadline: Duration,

    /// The largest request message, in bytes.
    #[arg(
        long,
        env = "RUNNEL_MESSAGE_LIMIT_BYTES",
        value_name = "BYTES",
        default_value_t = MESSAGE_LIMIT_BYTES,
        value_parser = numbers::size
    )]
    pub message_limit_bytes: usize,

    /// The largest message of an answer, in bytes.
    #[arg(
        long,
        env = "RUNNEL_ANSWER_LIMIT_BYTES",
        value_name = "BYTES",
        default_value_t = MESSAGE_LIMIT_BYTES,
        value_parser = numbers::size
    )]
    pub answer_limit_bytes: usize,

    /// The most metadata of an answer, in bytes: that before its messages, and again that behind them.
    #[arg(
        long,
        env = "RUNNEL_ANSWER_METADATA_LIMIT_BYTES",
        value_name = "BYTES",
        default_value_t = METADATA_LIMIT_BYTES,
        value_parser = numbers::size
    )]
    pub answer_metadata_limit_bytes: usize,

    /// How long a unary call may take, whatever deadline its client sets; 0s for as long as it takes. If
    /// nothing is said, 60s for calls that are answered here, and as long as it takes for those that are
    /// forwarded. A call of a method that nobody described must have its answer begin in that time.
    #[arg(
        long,
        env = "RUNNEL_UNARY_DEADLINE",
        value_name = "DURATION",
        value_parser = numbers::duration_or_zero
    )]
    pub unary_deadline: Option<Duration>,

    /// Unary calls open at once, in all; 0 for no limit.
    #[arg(long, env = "RUNNEL_MAX_CALLS", value_name = "CALLS", default_value_t = 4096)]
    pub max_calls: usize,

    /// Unary calls open at once for one client address (an IPv6 client is its /64); 0 for no limit of its own.
    #[arg(
        long,
        env = "RUNNEL_MAX_CALLS_PER_ADDRESS",
        value_name = "CALLS",
        default_value_t = 1024
    )]
    pub max_calls_per_address: usize,

    /// Streams open at once, in all; 0 for no limit.
    #[arg(long, env = "RUNNEL_MAX_STREAMS", value_name = "STREAMS", default_value_t = 4096)]
    pub max_streams: usize,

    /// Streams open at once for one client address (an IPv6 client is its /64); 0 for no limit of its own.
    #[arg(
        long,
        env = "RUNNEL_MAX_STREAMS_PER_ADDRESS",
        value_name = "STREAMS",
        default_value_t = 1024
    )]
    pub max_streams_per_address: usize,

    /// Bytes of messages held at once, in all: arriving, or answered and not yet read. If nothing is said,
    /// 268435456 (256 MiB), or half of the memory that the container may have, if that is less.
    #[arg(long, env = "RUNNEL_MAX_HELD_BYTES", value_name = "BYTES", value_parser = numbers::size)]
    pub max_held_bytes: Option<usize>,

    /// Bytes of messages held at once for one client address (an IPv6 client is its /64). If nothing is
    /// said, a quarter of those in all.
    #[arg(long, env = "RUNNEL_MAX_HELD_BYTES_PER_ADDRESS", value_name = "BYTES", value_parser = numbers::size)]
    pub max_held_bytes_per_address: Option<usize>,

    /// How logs are written to standard error; RUST_LOG filters them.
    #[arg(long, env = "RUNNEL_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// The admin port.
    #[command(flatten)]
    pub admin: AdminConfig,

    /// Access from within browsers.
    #[command(flatten)]
    pub access: AccessConfig,

    /// What a connection may cost.
    #[command(flatten)]
    pub connections: ConnectionsConfig,

    /// Encryption.
    #[command(flatten)]
    pub tls: TlsConfig,

    /// The backends that calls are forwarded to.
    #[command(flatten)]
    pub backend: BackendConfig,

    /// Where traces go.
    #[cfg(feature = "otel")]
    #[command(flatten)]
    pub traces: TracesConfig,
}

#[derive(Args, Clone, Debug)]
struct HealthcheckConfig {
    /// The address the server listens on; an unspecified one is asked on loopback.
    #[arg(long, env = "RUNNEL_LISTEN", value_name = "ADDR", default_value = DEFAULT_LISTEN)]
    listen: SocketAddr,

    // The server's own options, so that one environment is right for both.
    #[command(flatten)]
    tls: TlsConfig,
}

/// How long a unary call may take that is answered here.
const UNARY_DEADLINE: Duration = Duration::from_mins(1);

const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

/// What holds for every option.
const RULES: &str = "\
A flag goes before its environment variable. A variable that is set to nothing counts as not set \
(RUNNEL_ADMIN_LISTEN alone means something then: no admin port).
Lists have commas between their items; blanks around them and a comma at the end do not matter.
Durations are written like 500ms, 10s, 5m, 1h. Zero switches a limit off where its option says so, and is \
refused everywhere else.";

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

impl Cli {
    /// Reads the command line and the environment of this process; ends it where they ask for help or make
    /// no sense.
    pub fn of_the_process() -> Self {
        Self::read(env::args_os()).unwrap_or_else(|error| error.exit())
    }

    fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let command = given::environment(Self::command(), |name| env::var_os(name));
        let args = given::arguments(&command, args);
        let matches = command.try_get_matches_from(&args).or_else(|error| match error.kind() {
            // Of the command as it is, with the names of all variables.
            ErrorKind::DisplayHelp => Self::command().try_get_matches_from(&args),
            _ => Err(error),
        })?;
        Self::from_arg_matches(&matches)
    }

    /// What to do, and with which options.
    pub fn into_command(self) -> (Command, ServeConfig) {
        match self.command {
            None => (Command::Serve, self.config),
            Some(CliCommand::Serve(config)) => (Command::Serve, *config),
            Some(CliCommand::Healthcheck(asked)) => {
                let HealthcheckConfig { listen, tls } = *asked;
                (Command::Healthcheck, ServeConfig { listen, tls, ..self.config })
            }
        }
    }
}

impl ServeConfig {
    /// What a call may cost.
    pub(crate) fn limits(&self, held: Quota) -> Limits {
        let forwards = !self.backend.urls().is_empty();
        // How long a call takes that we do not answer is for others to say.
        let unasked = (!forwards).then_some(UNARY_DEADLINE);
        Limits {
            message_bytes: self.message_limit_bytes,
            answer: AnswerLimits {
                message_bytes: self.answer_limit_bytes,
                metadata_bytes: self.answer_metadata_limit_bytes,
            },
            unary_deadline: self.unary_deadline.or(unasked).filter(|cap| !cap.is_zero()),
            request_timeout: numbers::unless_zero(self.connections.request_timeout),
            forwards,
            unary: numbers::bound(self.max_calls, self.max_calls_per_address),
            streams: numbers::bound(self.max_streams, self.max_streams_per_address),
            cancels_per_address: self.connections.max_cancels_per_address,
            held,
        }
    }

    /// How many bytes of messages may be held.
    pub(crate) fn held_bound(&self) -> Bound {
        let largest = self.message_limit_bytes.max(self.answer_limit_bytes);
        quota::bound(self.max_held_bytes, self.max_held_bytes_per_address, largest)
    }
}

impl Default for ServeConfig {
    /// What `runnel` without arguments or environment uses.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            drain_deadline: Duration::from_secs(10),
            message_limit_bytes: MESSAGE_LIMIT_BYTES,
            answer_limit_bytes: MESSAGE_LIMIT_BYTES,
            answer_metadata_limit_bytes: METADATA_LIMIT_BYTES,
            unary_deadline: None,
            max_calls: 4096,
            max_calls_per_address: 1024,
            max_streams: 4096,
            max_streams_per_address: 1024,
            max_held_bytes: None,
            max_held_bytes_per_address: None,
            log_format: LogFormat::Text,
            admin: AdminConfig::default(),
            access: AccessConfig::default(),
            connections: ConnectionsConfig::default(),
            tls: TlsConfig::default(),
            backend: BackendConfig::default(),
            #[cfg(feature = "otel")]
            traces: TracesConfig::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn parse(args: &[&str]) -> Result<(Command, ServeConfig), clap::Error> {
        Cli::read(["runnel"].iter().chain(args).map(OsString::from)).map(Cli::into_command)
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default_command() {
        let (bare, bare_config) = parse(&["--listen", "127.0.0.1:1"]).unwrap();
        let (named, named_config) = parse(&["serve", "--listen", "127.0.0.1:1"]).unwrap();
        assert_eq!((bare, bare_config.listen), (named, named_config.listen));
        assert_eq!(bare, Command::Serve);
    }

    #[test]
    fn the_defaults_of_the_command_line_are_those_of_the_library() {
        let (_, parsed) = parse(&[]).unwrap();
        assert_eq!(format!("{parsed:?}"), format!("{:?}", ServeConfig::default()));
    }

    #[test]
    fn healthcheck_takes_the_listen_address() {
        let (command, config) = parse(&["healthcheck", "--listen", "[::1]:9"]).unwrap();
        assert_eq!(command, Command::Healthcheck);
        assert_eq!(config.listen, "[::1]:9".parse().unwrap());
    }

    #[test]
    fn an_empty_admin_address_is_no_admin_port() {
        let admin = |args: &[&str]| parse(args).unwrap().1.admin.admin_listen;
        assert_eq!(admin(&["--admin-listen", ""]), None);
        assert_eq!(admin(&["--admin-listen", "off"]), None);
        assert_eq!(admin(&["--admin-listen", "[::]:9"]), Some("[::]:9".parse().unwrap()));
    }

    /// Whatever is counted or takes time: with each new option this asks again what zero means there.
    #[test]
    fn zero_is_refused_or_help_says_what_it_switches_off() {
        let mut numbers = 0;
        for arg in Cli::command().get_arguments() {
            let name = arg.get_value_names().map(|names| names[0].to_string());
            let zero = match name.as_deref() {
                Some("DURATION") => "0s",
                Some("BYTES" | "CALLS" | "STREAMS" | "CONNECTIONS") => "0",
                // A number by another name would be missed here.
                _ if arg.get_default_values().iter().any(|value| is_number(value)) => {
                    assert_eq!(arg.get_id(), "backend_port", "what is it a number of?");
                    continue;
                }
                _ => continue,
            };
            numbers += 1;
            let flag = format!("--{}", arg.get_long().unwrap());
            let help = arg.get_long_help().or(arg.get_help()).unwrap().to_string();
            let says_what = help.contains(&format!("{zero} for "));
            match parse(&[&flag, zero]) {
                Ok(_) => assert!(says_what, "{flag} takes {zero}, and does not say why: {help}"),
                Err(error) => {
                    assert_eq!(error.exit_code(), 2);
                    assert!(!says_what, "{flag} refuses {zero}: {help}");
                    assert!(error.to_string().contains("zero"), "{error}");
                }
            }
            // So large that it could be added to no clock.
            let huge = if zero == "0s" { "10000years" } else { "4000000000" };
            assert!(parse(&[&flag, huge]).is_ok(), "{flag} {huge}");
        }
        assert!(numbers >= 20, "only {numbers}");
    }

    fn is_number(value: &std::ffi::OsStr) -> bool {
        value.to_str().is_some_and(|value| value.parse::<u64>().is_ok())
    }

    #[test]
    fn zero_switches_limits_off() {
        let zeros = ["--unary-deadline=0s", "--max-calls=0", "--max-streams-per-address=0"];
        let config = parse(&zeros).unwrap().1;
        let limits = config.limits(Quota::new(config.held_bound()).unwrap());
        assert_eq!(limits.unary_deadline, None);
        assert_eq!((limits.unary.total, limits.unary.per_address), (usize::MAX, 1024));
        assert_eq!((limits.streams.total, limits.streams.per_address), (4096, usize::MAX));
    }

    /// People copy these; a name that there is not would be ignored without a word.
    #[test]
    fn the_compose_files_set_options_that_there_are_to_values_that_they_take() {
        let command = Cli::command();
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
        let mut settings = 0;
        for entry in fs::read_dir(deploy).unwrap() {
            let path = entry.unwrap().path();
            if path.extension() != Some("yaml".as_ref()) {
                continue;
            }
            for line in fs::read_to_string(&path).unwrap().lines() {
                let Some((name, value)) = line.trim().split_once(": ") else { continue };
                if name.chars().any(|c| !c.is_ascii_uppercase() && c != '_') {
                    continue;
                }
                let arg = command.get_arguments().find(|arg| arg.get_env() == Some(name.as_ref()));
                let arg = arg.unwrap_or_else(|| panic!("{name} in {}", path.display()));
                let flag = format!("--{}", arg.get_long().unwrap());
                assert!(parse(&[&flag, value.trim_matches('"')]).is_ok(), "{line}");
                settings += 1;
            }
        }
        assert!(settings >= 4, "only {settings}");
    }

    #[test]
    fn bad_values_are_bad_usage() {
        for args in [
            &["--listen", "localhost"][..],
            &["--listen", "127.0.0.1:65536"],
            &["--drain-deadline", "-1s"],
            &["--log-format", "xml"],
            &["--header-limit-bytes", "0"],
            &["--header-timeout", "0s"],
            &["--tls-cert", "without-a-key.pem"],
            &["--tls-client-ca", "without-a-certificate.pem"],
            &["--admin-listen", "9090"],
            &["--cors-origin", "https://app.example/"],
            &["--cors-origin", "https://*.example"],
            &["--allow-host", "app.example:80"],
            &["--allow-host", "*"],
            &["--backend", "http://host:1/path"],
            &["--backend", "host"],
            &["--backend-client-cert", "file"],
            &["--backend-health-interval", "0s"],
            &["--trusted-proxy", "proxy"],
            &["--no-such-option"],
            &["no-such-command"],
        ] {
            assert_eq!(parse(args).unwrap_err().exit_code(), 2, "{args:?}");
        }
    }
}
