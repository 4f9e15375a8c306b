//! `runnel-bench`: measures a built server, or is one of the servers beside it.
//! `cargo xtask bench server` builds both and starts this.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;
use clap::{Parser, Subcommand};
use runnel_bench::{
    contract::Call,
    fronts::{self, Fronts},
    limit, load,
    plain::{self, Source},
    process::ANNOUNCEMENT,
    report::Table,
    run,
};
use tokio::net::TcpListener;

/// Measures what a call costs Runnel's server, beside plain tonic and the least that hyper can do.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure.
    Run {
        /// The server's binary.
        #[arg(long, value_name = "PATH")]
        runnel: PathBuf,
        /// How often everything is measured (the memory three times at most).
        #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// One small round: that it works, not how fast.
        #[arg(long)]
        quick: bool,
    },
    /// Measure what open streams cost, with TLS too, and drain under them.
    Load {
        /// The server's binary.
        #[arg(long, value_name = "PATH")]
        runnel: PathBuf,
        /// How often everything is measured.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// A few readers: that it works.
        #[arg(long)]
        quick: bool,
    },
    /// Measure forwarding, beside Envoy.
    Fronts {
        /// The server's binary.
        #[arg(long, value_name = "PATH")]
        runnel: PathBuf,
        /// Envoy's binary.
        #[arg(long, value_name = "PATH")]
        envoy: PathBuf,
        /// Worker threads of either.
        #[arg(long, value_name = "N", default_value_t = 2)]
        threads: usize,
        /// How often everything is measured (the memory three times at most).
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// One small round: that it works, not how fast.
        #[arg(long)]
        quick: bool,
    },
    /// Be the floor: answers that are encoded already.
    #[command(hide = true)]
    ServeLimit {
        /// Items of a stream.
        #[arg(long)]
        items: i32,
    },
    /// Be the obvious tonic server.
    #[command(hide = true)]
    ServeTonic {
        /// With a stream that never pauses.
        #[arg(long)]
        unpausing: bool,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run { runnel, rounds, quick } => {
            let effort = effort(runnel, rounds, quick);
            tokio::select! {
                outcome = measure(&effort) => outcome,
                // The servers are killed on the way out.
                ended = ended() => ended.and_then(|()| Err(anyhow::anyhow!("interrupted"))),
            }
        }
        Command::Load { runnel, rounds, quick } => {
            let effort = run::Effort { memory_rounds: rounds, ..effort(runnel, rounds, quick) };
            tokio::select! {
                outcome = load::all(&effort, show) => outcome,
                ended = ended() => ended.and_then(|()| Err(anyhow::anyhow!("interrupted"))),
            }
        }
        Command::Fronts { runnel, envoy, threads, rounds, quick } => {
            let effort = run::Effort { readers: 1000, ..effort(runnel, rounds, quick) };
            let effort = run::Effort { calls_each: effort.calls_each / 2, ..effort };
            let fronts = Fronts { envoy, threads };
            tokio::select! {
                outcome = fronts::all(&fronts, &effort, show) => outcome,
                ended = ended() => ended.and_then(|()| Err(anyhow::anyhow!("interrupted"))),
            }
        }
        Command::ServeLimit { items } => serve_limit(items).await,
        Command::ServeTonic { unpausing } => {
            serve_tonic(if unpausing { Source::Unpausing } else { Source::Pausing }).await
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn effort(runnel: PathBuf, rounds: u32, quick: bool) -> run::Effort {
    let full = run::Effort {
        runnel,
        rounds,
        memory_rounds: rounds.min(3),
        items: 1_000_000,
        streams: 4,
        callers: 32,
        calls_each: 500,
        readers: 2_000,
    };
    if !quick {
        return full;
    }
    let (rounds, memory_rounds, streams) = (1, 1, 1);
    run::Effort {
        rounds,
        memory_rounds,
        streams,
        items: 100_000,
        calls_each: 50,
        readers: 50,
        ..full
    }
}

async fn measure(effort: &run::Effort) -> Result<()> {
    run::all(effort, show).await
}

fn show(table: &Table) -> Result<()> {
    writeln!(io::stdout(), "{table}")?;
    Ok(())
}

#[cfg(unix)]
async fn ended() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn ended() -> Result<()> {
    Ok(tokio::signal::ctrl_c().await?)
}

async fn serve_limit(items: i32) -> Result<()> {
    let calls = vec![Call::say_hello(), Call::get_all(), Call::get_stream(items)];
    limit::serve(listen().await?, calls).await
}

async fn serve_tonic(source: Source) -> Result<()> {
    plain::serve(listen().await?, source).await
}

async fn listen() -> Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("{ANNOUNCEMENT}{}", listener.local_addr()?);
    Ok(listener)
}
