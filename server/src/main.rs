//! `runnel`: parses, binds, serves. What it does is in the library; this is the script.

use std::{net::SocketAddr, process::ExitCode};

use runnel::{
    Listeners, ServeError,
    config::{Cli, Command, ServeConfig},
};
use tokio::net::TcpListener;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BAD_USAGE: u8 = 2;

/// Exit codes: 0 clean, 1 failure, 2 bad usage (clap's own, and a folder that holds no page).
fn main() -> ExitCode {
    let (command, config) = Cli::of_the_process().into_command();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start the async runtime: {error}")),
    };
    let outcome = runtime.block_on(async {
        match command {
            Command::Serve => Box::pin(serve(config)).await,
            Command::Healthcheck => {
                runnel::healthcheck::check(&config).await.map_err(|error| fail(&error.to_string()))
            }
        }
    });
    // Whatever still runs after a drain (a blocked reader, a name lookup) must not hold the exit.
    runtime.shutdown_background();
    runnel::telemetry::finish();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

async fn serve(config: ServeConfig) -> Result<(), ExitCode> {
    runnel::telemetry::init(config.log_format);
    // First, so that none ends the process that should not.
    let shutdown = runnel::signal::shutdown()
        .map_err(|error| fail(&format!("cannot listen for signals: {error}")))?;
    runnel::file_limit::raise(&config.connections);
    let listeners = Listeners {
        public: bind("--listen", config.listen)?,
        admin: match config.admin.admin_listen {
            Some(address) => Some(bind("--admin-listen", address)?),
            None => None,
        },
    };
    #[cfg(feature = "otel")]
    let traces = runnel::traces::Traces::start(&config.traces)
        .map_err(|error| fail(&format!("cannot export traces: {error}")))?;
    let served = runnel::serve(listeners, config, shutdown).await;
    #[cfg(feature = "otel")]
    tokio::task::block_in_place(|| traces.finish());
    served.map_err(|error| {
        let code = fail(&error.to_string());
        // Where the page is, only the command line says.
        if matches!(error, ServeError::Page(_)) { ExitCode::from(BAD_USAGE) } else { code }
    })
}

fn bind(flag: &str, address: SocketAddr) -> Result<TcpListener, ExitCode> {
    runnel_serve::listen(address)
        .map_err(|error| fail(&format!("cannot listen on {address} ({flag}): {error}")))
}

fn fail(error: &str) -> ExitCode {
    eprintln!("runnel: {error}");
    ExitCode::FAILURE
}
