//! The command line. Parsing it opens no socket and reads no file. Every option has a flag, an environment
//! variable and a default. An empty variable counts as not set, and zero is refused unless the option says what
//! zero means.

mod access;
mod admin;
mod backend;
mod connections;
mod given;
mod numbers;
mod page;
mod tls;
#[cfg(feature = "otel")]
mod traces;

use std::{env, ffi::OsString, net::SocketAddr, time::Duration};

use clap::{
    Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum, error::ErrorKind,
};
use runnel_rpc::{Limits, ResponseLimits};
use runnel_serve::Settings;

pub(crate) use self::access::SETTING_NAMES;
#[cfg(feature = "otel")]
pub use self::traces::TracesConfig;
pub use self::{
    access::AccessConfig,
    admin::AdminConfig,
    backend::BackendConfig,
    connections::ConnectionsConfig,
    page::{PageChoice, PageConfig},
    tls::TlsConfig,
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

    // Without a subcommand it serves, so the options for that stand here too.
    #[command(flatten)]
    config: ServeConfig,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Serve the page and the API, as is done without a command.
    Serve(Box<ServeConfig>),

    /// Check the health of the server at the listen address; the exit code is 0 if it is SERVING.
    Healthcheck(Box<HealthcheckConfig>),
}

/// What the process is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve until a signal comes.
    Serve,
    /// Check the health of a running server.
    Healthcheck,
}

/// Everything a server can be told.
#[derive(Args, Clone, Debug)]
pub struct ServeConfig {
    /// Address and port to listen on; port 0 takes a free port and logs it.
    #[arg(long, env = "RUNNEL_LISTEN", value_name = "ADDR", default_value = DEFAULT_LISTEN)]
    pub listen: SocketAddr,

    /// How long open calls may go on after SIGTERM or SIGINT; calls that are still open then end as
    /// UNAVAILABLE. With 1ms they end at once.
    #[arg(
        long,
        env = "RUNNEL_DRAIN_DEADLINE",
        value_name = "DURATION",
        default_value = numbers::written(Settings::default().drain_deadline),
        value_parser = numbers::duration
    )]
    pub drain_deadline: Duration,

    /// The largest request message, in bytes.
    #[arg(
        long,
        env = "RUNNEL_MESSAGE_LIMIT_BYTES",
        value_name = "BYTES",
        default_value_t = Limits::default().message_bytes,
        value_parser = numbers::size
    )]
    pub message_limit_bytes: usize,

    /// The largest message of a response, in bytes.
    #[arg(
        long,
        env = "RUNNEL_ANSWER_LIMIT_BYTES",
        value_name = "BYTES",
        default_value_t = ResponseLimits::default().message_bytes,
        value_parser = numbers::size
    )]
    pub answer_limit_bytes: usize,

    /// The most metadata of a response, in bytes: once before its messages, and once after them.
    #[arg(
        long,
        env = "RUNNEL_ANSWER_METADATA_LIMIT_BYTES",
        value_name = "BYTES",
        default_value_t = ResponseLimits::default().metadata_bytes,
        value_parser = numbers::size
    )]
    pub answer_metadata_limit_bytes: usize,

    /// How long a unary call may take, whatever deadline its client sets; 0s for no limit. The default is 60s,
    /// and with --backend no limit. If it is not known whether a method is unary, its response must begin
    /// in that time.
    #[arg(
        long,
        env = "RUNNEL_UNARY_DEADLINE",
        value_name = "DURATION",
        value_parser = numbers::duration_or_zero
    )]
    pub unary_deadline: Option<Duration>,

    /// Open unary calls, in all; 0 for no limit.
    #[arg(long, env = "RUNNEL_MAX_CALLS", value_name = "CALLS", default_value_t = Limits::default().unary.total)]
    pub max_calls: usize,

    /// Open unary calls of one client address (for IPv6, a /64); 0 for no limit.
    #[arg(
        long,
        env = "RUNNEL_MAX_CALLS_PER_ADDRESS",
        value_name = "CALLS",
        default_value_t = Limits::default().unary.per_address
    )]
    pub max_calls_per_address: usize,

    /// Open streams, in all; 0 for no limit.
    #[arg(long, env = "RUNNEL_MAX_STREAMS", value_name = "STREAMS", default_value_t = Limits::default().streams.total)]
    pub max_streams: usize,

    /// Open streams of one client address (for IPv6, a /64); 0 for no limit.
    #[arg(
        long,
        env = "RUNNEL_MAX_STREAMS_PER_ADDRESS",
        value_name = "STREAMS",
        default_value_t = Limits::default().streams.per_address
    )]
    pub max_streams_per_address: usize,

    /// Bytes of messages in memory, in all: requests that arrive, and responses that are not read yet. The
    /// default is 268435456 (256 MiB), or half of the container's memory if that is less.
    #[arg(long, env = "RUNNEL_MAX_HELD_BYTES", value_name = "BYTES", value_parser = numbers::size)]
    pub max_held_bytes: Option<usize>,

    /// Bytes of messages in memory for one client address (for IPv6, a /64). The default is a quarter of
    /// those in all.
    #[arg(long, env = "RUNNEL_MAX_HELD_BYTES_PER_ADDRESS", value_name = "BYTES", value_parser = numbers::size)]
    pub max_held_bytes_per_address: Option<usize>,

    /// The format of the log on standard error; RUST_LOG chooses which lines are logged.
    #[arg(long, env = "RUNNEL_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// The page.
    #[command(flatten)]
    pub page: PageConfig,

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
    /// The address on which the server listens; for `0.0.0.0` and `[::]` the check uses loopback.
    #[arg(long, env = "RUNNEL_LISTEN", value_name = "ADDR", default_value = DEFAULT_LISTEN)]
    listen: SocketAddr,

    // The server's own options, so that one environment is right for both.
    #[command(flatten)]
    tls: TlsConfig,
}

const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

/// Rules for all options, at the end of `--help`.
const RULES: &str = "\
A flag wins over its environment variable. An empty variable counts as not set; only RUNNEL_ADMIN_LISTEN, \
when empty, switches the admin port off.
Lists have commas between their items; blanks around items and a comma at the end do not matter.
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
    /// Reads the command line and the environment of this process, a program of this name and version; ends
    /// it where they ask for help or make no sense.
    pub fn of_the_process(name: &'static str, version: &'static str) -> Self {
        let command = Self::command().name(name).version(version);
        Self::read(&command, env::args_os()).unwrap_or_else(|error| error.exit())
    }

    fn read(
        command: &clap::Command,
        args: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, clap::Error> {
        let reads = given::environment(command.clone(), |name| env::var_os(name));
        let args = given::arguments(&reads, args);
        let matches = reads.try_get_matches_from(&args).or_else(|error| match error.kind() {
            // Of the command as it is, with the names of all variables.
            ErrorKind::DisplayHelp => command.clone().try_get_matches_from(&args),
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
    /// What the server of the public port is told.
    pub(crate) fn server_settings(&self) -> Settings {
        self.connections.settings(self.drain_deadline)
    }

    /// What a call may cost.
    pub(crate) fn limits(&self) -> Limits {
        let defaults = Limits::default();
        let forwards = !self.backend.urls().is_empty();
        // How long a call takes that we do not answer is for others to say.
        let unasked = defaults.unary_deadline.filter(|_| !forwards);
        Limits {
            message_bytes: self.message_limit_bytes,
            response: ResponseLimits {
                message_bytes: self.answer_limit_bytes,
                metadata_bytes: self.answer_metadata_limit_bytes,
            },
            unary_deadline: self.unary_deadline.or(unasked).filter(|cap| !cap.is_zero()),
            request_timeout: numbers::unless_zero(self.connections.request_timeout),
            unary: numbers::limit(self.max_calls, self.max_calls_per_address),
            streams: numbers::limit(self.max_streams, self.max_streams_per_address),
            cancels_per_address: self.connections.max_cancels_per_address,
            held_bytes: self.max_held_bytes,
            held_bytes_per_address: self.max_held_bytes_per_address,
        }
    }
}

impl Default for ServeConfig {
    /// What `runnel` without arguments or environment uses.
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            drain_deadline: Settings::default().drain_deadline,
            message_limit_bytes: limits.message_bytes,
            answer_limit_bytes: limits.response.message_bytes,
            answer_metadata_limit_bytes: limits.response.metadata_bytes,
            unary_deadline: None,
            max_calls: limits.unary.total,
            max_calls_per_address: limits.unary.per_address,
            max_streams: limits.streams.total,
            max_streams_per_address: limits.streams.per_address,
            max_held_bytes: None,
            max_held_bytes_per_address: None,
            log_format: LogFormat::Text,
            page: PageConfig::default(),
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
mod tests;
