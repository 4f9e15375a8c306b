//! `cargo xtask`: the only entry points to Runnel, for people and CI alike.
//!
//! Each command brings what it needs (compiler target, trunk, wasm-bindgen, wasm-opt, a Python
//! environment, a browser), builds what is out of date and asks nothing, so it may be repeated at
//! will: the second time is quick. What the tools are and where they live is [`tools`]; how the
//! page becomes files that may be cached for ever is [`page`].

mod bench;
mod browser;
mod check;
mod conformance;
mod debian;
mod fuzz;
mod layers;
mod manifests;
mod new;
mod page;
mod proxies;
mod python;
mod server;
mod test;
mod tools;
mod workspace;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    tools::{Tools, compiler},
    workspace::Workspace,
};

/// Runs, builds and tests Runnel. Fetches the tools it needs, asks nothing, and is quick the
/// second time.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the page and the server, then start the server.
    ///
    /// The page is on port 8080 of this machine unless ARGS or the environment say otherwise; the
    /// server logs `listening on http://ADDR`. The environment is passed on, signals and the exit
    /// code are the server's own.
    #[command(after_help = "Examples:\n  \
        cargo xtask run\n  \
        cargo xtask run -- --listen 127.0.0.1:0\n  \
        RUNNEL_LISTEN='[::]:80' cargo xtask run\n  \
        cargo xtask run -- --help          what the server can be told")]
    Run {
        /// Arguments for the server.
        #[arg(last = true, value_name = "ARGS")]
        args: Vec<OsString>,
    },
    /// Build the page into dist/ and the server, page embedded, into release/runnel.
    ///
    /// The binary is in cargo's target folder, wherever `CARGO_TARGET_DIR` puts it; its path is
    /// the one line on standard output.
    Build {
        /// Build the server for this target, e.g. x86_64-unknown-linux-musl for a static binary.
        #[arg(long, value_name = "TRIPLE")]
        target: Option<String>,
    },
    /// Write a product of your own into a new folder: its contract, server and page.
    ///
    /// The name of the folder is the name of the product. Its manifest names Runnel by the path to this
    /// checkout. The folder is the one line on standard output.
    #[command(after_help = "Example:\n  \
        cargo xtask new ../shop")]
    New {
        /// The folder, which must be new or empty, and outside of this checkout.
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
    /// Run every test, those in a browser and against Python's and Go's gRPC included.
    ///
    /// Builds the page and the release server first, because that is what the tests drive. Ends
    /// with a line that says how many tests passed and failed.
    #[command(after_help = "Examples:\n  \
        cargo xtask test\n  \
        cargo xtask test -- -p runnel-tests\n  \
        cargo xtask test -- -p runnel-tests browser -- --nocapture\n\n\
        Without Chromium, chromedriver, nginx, HAProxy, Caddy, Python 3 or Go it says what to install; on \
        Debian, as root, it installs all but Go. RUNNEL_CHROMIUM, RUNNEL_CHROMEDRIVER, RUNNEL_NGINX, \
        RUNNEL_HAPROXY, RUNNEL_CADDY, RUNNEL_PYTHON and RUNNEL_GO_BACKENDS, when set, are used as they \
        are.")]
    Test {
        /// Arguments for `cargo test`, in place of `--workspace` if they choose packages.
        #[arg(last = true, value_name = "CARGO TEST ARGS", allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run the connectrpc conformance suite: somebody else's clients and rules, our layers.
    #[command(arg_required_else_help = true)]
    Conformance {
        #[command(subcommand)]
        what: conformance::What,
    },
    /// Measure what calls cost, beside plain tonic and the least that hyper can do.
    #[command(arg_required_else_help = true)]
    Bench {
        #[command(subcommand)]
        what: bench::What,
    },
    /// Fuzz the parsers of bytes that are ours, each for a bounded time.
    ///
    /// An input that fails is left in a file, and the last lines say how to run it again. `cargo test`
    /// runs the kept inputs of tests/fuzz/corpus too, without a fuzzer.
    #[command(after_help = "Examples:\n  \
        cargo xtask fuzz\n  \
        cargo xtask fuzz call --seconds 600 --keep")]
    Fuzz(fuzz::What),
    /// Check what no compiler sees: dependencies, workflows, manifests.
    #[command(arg_required_else_help = true)]
    Check {
        #[command(subcommand)]
        what: check::What,
    },
    /// Fetch the tools and stop: after this a plain `trunk serve` works too.
    Setup {
        /// Also what `cargo fmt` and `cargo clippy` need.
        #[arg(long)]
        checks: bool,
    },
}

fn main() -> ExitCode {
    // Not `-> Result`: with RUST_BACKTRACE set, anyhow would bury the message in frames of ours.
    run(Cli::parse().command).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match command {
        Command::Run { args } => {
            let binary = build(&workspace, &Tools::ensure(&workspace)?, None)?;
            server::run(&binary, &args)
        }
        Command::Build { target } => {
            let tools = Tools::ensure(&workspace)?;
            let binary = build(&workspace, &tools, target.as_deref())?;
            println!("{}", binary.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::New { folder } => new::run(&workspace, &folder),
        Command::Test { args } => test::run(&workspace, &args),
        Command::Conformance { what } => conformance::run(&workspace, what),
        Command::Bench { what } => bench::run(&workspace, &what),
        Command::Fuzz(what) => fuzz::run(&workspace, &what),
        Command::Check { what } => check::run(&workspace, &what),
        Command::Setup { checks } => {
            Tools::ensure(&workspace)?;
            if checks {
                compiler::ensure_checks(&workspace)?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The page, then the server with that page inside.
fn build(workspace: &Workspace, tools: &Tools, target: Option<&str>) -> Result<PathBuf> {
    page::build(workspace, tools)?;
    server::build(workspace, target)
}
