//! [`Product`]: services and a page, with all of Runnel around them: its command line and environment, admin
//! port, metrics, health, reflection, drain and log. Runnel itself is one of them.

use std::{error::Error, fmt, net::SocketAddr, path::Path, process::ExitCode};

use prometheus::Registry;
use runnel_limits::quota::Quota;
use runnel_page::Page;
use runnel_rpc::Services;
use rust_embed::RustEmbed;
use tokio::net::TcpListener;

use crate::{
    Listeners, ServeError,
    config::{Cli, Command, ServeConfig},
    file_limit, healthcheck, signal, telemetry,
};

/// The exit code for a command line that makes no sense, clap's own.
const BAD_USAGE: u8 = 2;

type MakeServices =
    Box<dyn FnOnce(&Startup<'_>) -> Result<Services, Box<dyn Error + Send + Sync>> + Send>;

/// A program of one's own: its services, its page, and Runnel around them. With the option `--backend` it
/// forwards every call and serves none of its services.
///
/// ```no_run
/// use runnel::{Product, rpc::Services};
///
/// fn main() -> std::process::ExitCode {
///     Product::new("shop", "1.0.0", |_| Ok(Services::new())).main()
/// }
/// ```
pub struct Product {
    pub(crate) services: MakeServices,
    pub(crate) page: Option<Page>,
    name: &'static str,
    version: &'static str,
}

/// What is known when the services of a [`Product`] are made.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Startup<'a> {
    /// What the server was told by flags and environment.
    pub config: &'a ServeConfig,
    /// How many bytes of messages may be held at once.
    pub quota: &'a Quota,
    /// Where to register metrics, which `/metrics` shows then. The names of Runnel's own begin with
    /// `grpc_server_`, `process_` and `runnel_`.
    pub registry: &'a Registry,
}

impl Product {
    /// A program of this name and version, as `--help` and `--version` tell them. `services` is called once,
    /// within the async runtime, when the server starts; an error that it returns ends the program.
    pub fn new<F>(name: &'static str, version: &'static str, services: F) -> Self
    where
        F: FnOnce(&Startup<'_>) -> Result<Services, Box<dyn Error + Send + Sync>> + Send + 'static,
    {
        Self { services: Box::new(services), page: None, name, version }
    }

    /// The page of `--page embedded`, which is the default. Without this call there is none.
    #[must_use]
    pub fn page(self, page: Page) -> Self {
        Self { page: Some(page), ..self }
    }

    /// The whole program: reads the command line and the environment, and does what they say.
    ///
    /// Exit codes: 0 clean, 1 failure, 2 bad usage (clap's own, and a folder that holds no page).
    pub fn main(self) -> ExitCode {
        let name = self.name;
        let (command, config) = Cli::of_the_process(name, self.version).into_command();
        let runtime = match tokio::runtime::Runtime::new() {
            Ok(runtime) => runtime,
            Err(error) => return fail(name, &format!("cannot start the async runtime: {error}")),
        };
        let outcome = runtime.block_on(async {
            match command {
                Command::Serve => self.serve_until_signal(config).await,
                Command::Healthcheck => healthcheck::check(&config)
                    .await
                    .map_err(|error| fail(name, &error.to_string())),
            }
        });
        // Whatever still runs after a drain (a blocked reader, a name lookup) must not hold the exit.
        runtime.shutdown_background();
        telemetry::finish();
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(code) => code,
        }
    }

    async fn serve_until_signal(self, config: ServeConfig) -> Result<(), ExitCode> {
        let name = self.name;
        telemetry::init(config.log_format);
        // First, so that none ends the process that should not.
        let shutdown = signal::shutdown()
            .map_err(|error| fail(name, &format!("cannot listen for signals: {error}")))?;
        file_limit::raise(&config.connections);
        let bind = |flag: &str, address: SocketAddr| -> Result<TcpListener, ExitCode> {
            runnel_serve::listen(address).map_err(|error| {
                fail(name, &format!("cannot listen on {address} ({flag}): {error}"))
            })
        };
        let listeners = Listeners {
            public: bind("--listen", config.listen)?,
            admin: match config.admin.admin_listen {
                Some(address) => Some(bind("--admin-listen", address)?),
                None => None,
            },
        };
        #[cfg(feature = "otel")]
        let traces = crate::traces::Traces::start(&config.traces)
            .map_err(|error| fail(name, &format!("cannot export traces: {error}")))?;
        let served = Box::pin(self.serve(listeners, config, shutdown)).await;
        #[cfg(feature = "otel")]
        tokio::task::block_in_place(|| traces.finish());
        served.map_err(|error| {
            let code = fail(name, &error.to_string());
            // Where the page is, only the command line says.
            if matches!(error, ServeError::Page(_)) { ExitCode::from(BAD_USAGE) } else { code }
        })
    }
}

impl fmt::Debug for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Product")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("page", &self.page)
            .finish_non_exhaustive()
    }
}

fn fail(name: &str, error: &str) -> ExitCode {
    eprintln!("{name}: {error}");
    ExitCode::FAILURE
}

/// The [`Page`] in a folder, given relative to the package that calls this. A release build embeds
/// the files; a debug build reads them from the folder, where the page may be built, and built anew, at any
/// time. The folder may be missing: the server then answers 404 in the place of the page.
///
/// The package needs a build script that says `cargo::rerun-if-changed` of the folder, because cargo does not
/// see files that appear in it.
#[macro_export]
macro_rules! embedded_page {
    ($folder:tt) => {{
        #[derive($crate::rust_embed::RustEmbed)]
        #[crate_path = "runnel::rust_embed"]
        #[folder = $folder]
        #[allow_missing = true]
        struct Files;
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/", $folder);
        $crate::page_of::<Files>(folder, cfg!(debug_assertions))
    }};
}

/// What [`embedded_page!`] calls.
#[doc(hidden)]
pub fn page_of<F: RustEmbed>(folder: &str, is_read_from_disk: bool) -> Page {
    if is_read_from_disk {
        return Page::in_folder_to_come(Path::new(folder));
    }
    let file = |name: std::borrow::Cow<'static, str>| {
        Some((name.clone().into_owned(), F::get(&name)?.data))
    };
    Page::of_files(F::iter().filter_map(file))
}
