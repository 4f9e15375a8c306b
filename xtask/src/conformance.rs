//! `cargo xtask conformance`: the connectrpc conformance suite against our layers. What is tested is
//! in `tests/conformance`; here is what brings the two together.
//!
//! The suite is a Go program. Its protos, which the programs under test are generated from, are in its
//! Go module, and go from there into the build: nothing of the suite is kept in this repository.

use std::{
    ffi::OsString,
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use clap::Subcommand;
use xshell::cmd;

use crate::{
    browser::others::Engine,
    tools::{self, Tools, go::Go},
    workspace::{Workspace, run_tool, step},
};

const SUITE: &str = "connectrpc.com/conformance";
const SUITE_VERSION: &str = "1.0.7";

/// How many cases `tests/conformance/server.yaml` selects in this version. Were a line of it lost, or a
/// new version without some, fewer would pass in silence.
const SERVER_CASES: u64 = 1310;
/// How many `client.yaml` selects.
const CLIENT_CASES: u64 = 150;

/// What the suite is to test, or to lend.
#[derive(Subcommand)]
pub(crate) enum What {
    /// Test the server: every gRPC and gRPC-Web case, over HTTP/1.1 and HTTP/2.
    ///
    /// Fails if any case does: there is no list of known failures. Go must be installed.
    #[command(after_help = "Examples:\n  \
        cargo xtask conformance server\n  \
        cargo xtask conformance server -- --run '**/unary/no-request' --trace\n  \
        RUST_LOG=info cargo xtask conformance server -- -v")]
    Server {
        /// Arguments for `connectconformance`; see its `--help`.
        #[arg(last = true, value_name = "SUITE ARGS", allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Test the server as a front: the same cases, with the suite's service in a backend behind it.
    #[command(after_help = "Examples:\n  \
        cargo xtask conformance backend\n  \
        cargo xtask conformance backend -- --run '**/unary/no-request' --trace")]
    Backend {
        /// Arguments for `connectconformance`; see its `--help`.
        #[arg(last = true, value_name = "SUITE ARGS", allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Test the client: every gRPC-Web case a browser can run, by a page in a real one.
    ///
    /// The page calls through the transport that the product's page has. Fails if any case does: there
    /// is no list of known failures. Go must be installed, and the browser; on Debian, as root, that
    /// is installed.
    #[command(after_help = "Examples:\n  \
        cargo xtask conformance client\n  \
        cargo xtask conformance client --browser firefox\n  \
        cargo xtask conformance client -- --run '**/trailers-only/**' --trace")]
    Client {
        /// The browser.
        #[arg(long, value_enum, default_value_t = Engine::Chromium)]
        browser: Engine,
        /// Arguments for `connectconformance`; see its `--help`.
        #[arg(last = true, value_name = "SUITE ARGS", allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Print the folder of the suite's protos.
    ///
    /// With `CONFORMANCE_PROTOS` set to it, cargo and rust-analyzer see the code that needs them.
    Protos,
}

/// Does it.
pub(crate) fn run(workspace: &Workspace, what: What) -> Result<ExitCode> {
    let go = Go::find(workspace)?;
    let protos = go.module(SUITE, SUITE_VERSION)?.join("proto");
    match what {
        What::Server { args } => server(workspace, &go, &protos, args, &[]),
        What::Backend { args } => server(workspace, &go, &protos, args, &["--behind-front"]),
        What::Client { browser, args } => client(workspace, &go, &protos, browser, args),
        What::Protos => {
            println!("{}", protos.display());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Tests `conformance-server`, started with `server_args`.
fn server(
    workspace: &Workspace,
    go: &Go<'_>,
    protos: &Path,
    suite_args: Vec<OsString>,
    server_args: &[&str],
) -> Result<ExitCode> {
    let server = build(workspace, protos, "conformance-server")?;
    let mut suite = Suite::new(workspace, go, "server", suite_args)?;
    suite.command.arg("--").arg(server).args(server_args);
    suite.judge(SERVER_CASES)
}

/// Tests the client, in a browser.
fn client(
    workspace: &Workspace,
    go: &Go<'_>,
    protos: &Path,
    browser: Engine,
    suite_args: Vec<OsString>,
) -> Result<ExitCode> {
    // What may be missing comes first: nobody waits for a build to read that.
    let drive = browser.ensure(workspace)?;
    let page = build_page(workspace, protos)?;
    let client = build(workspace, protos, "conformance-client")?;
    let mut suite = Suite::new(workspace, go, "client", suite_args)?;
    suite
        .command
        .arg("--")
        .args(drive.wrapper)
        .arg(client)
        .arg(browser.name())
        .env("CONFORMANCE_PAGE", page)
        .envs(drive.environment);
    suite.judge(CLIENT_CASES)
}

/// Builds a program of `tests/conformance` with the suite's protos; its path.
fn build(workspace: &Workspace, protos: &Path, program: &str) -> Result<PathBuf> {
    let folder = cargo_build(workspace, protos, program, &[])?;
    let binary = folder.join(format!("{program}{}", std::env::consts::EXE_SUFFIX));
    ensure!(binary.is_file(), "cargo built no {}", binary.display());
    Ok(binary)
}

/// Builds the page of `conformance-client`; the folder of its files.
fn build_page(workspace: &Workspace, protos: &Path) -> Result<PathBuf> {
    let shell = &workspace.shell;
    let tools = Tools::ensure(workspace)?;
    let page = "conformance-page";
    let folder = cargo_build(workspace, protos, page, &["--target", tools::WASM])?;
    let (wasm, out) = (folder.join(page).with_extension("wasm"), folder.join(page));
    run_tool(
        cmd!(shell, "wasm-bindgen --target web --no-typescript --out-dir {out} {wasm}")
            .env("PATH", tools.path),
    )?;
    Ok(out)
}

/// Builds a binary of `tests/conformance`; the folder it is in.
fn cargo_build(
    workspace: &Workspace,
    protos: &Path,
    program: &str,
    target: &[&str],
) -> Result<PathBuf> {
    step(format!("{program}: cargo build (a minute or two the first time)"));
    let shell = &workspace.shell;
    // A target folder of its own: every other build is one without the protos, and each would make
    // the other's output stale. Optimised, because the suite has timeouts; but not over crates,
    // because that takes longer than the whole suite.
    let folder = workspace.target.join("conformance");
    run_tool(
        cmd!(shell, "cargo build --release -p conformance --bin {program} --target-dir {folder}")
            .args(target)
            .args(["--config", "profile.release.lto=false"])
            .args(["--config", "profile.release.codegen-units=16"])
            .env("CONFORMANCE_PROTOS", protos),
    )?;
    Ok(target.get(1).map_or(folder.clone(), |triple| folder.join(triple)).join("release"))
}

/// The suite, about to run.
struct Suite {
    /// It lacks `--` and the program under test.
    command: Command,
    /// Whether all cases are to run, rather than those somebody chose.
    whole: bool,
}

impl Suite {
    /// The suite in a mode of its own, with the YAML file of that name.
    fn new(
        workspace: &Workspace,
        go: &Go<'_>,
        mode: &str,
        suite_args: Vec<OsString>,
    ) -> Result<Self> {
        let runner = go.program(&format!("{SUITE}/cmd/connectconformance"), SUITE_VERSION)?;
        let whole = suite_args.is_empty();
        let mut command = Command::new(runner);
        command
            .args(["--mode", mode, "--conf"])
            .arg(workspace.root.join("tests/conformance").join(mode).with_extension("yaml"))
            .args(suite_args);
        Ok(Self { command, whole })
    }

    /// Runs it, lets people see what it says, and believes its numbers rather than its silence.
    fn judge(mut self, expected: u64) -> Result<ExitCode> {
        step("conformance suite");
        let child = self.command.stdout(Stdio::piped()).spawn();
        let mut child = child.context("cannot start the suite")?;
        let mut tally = None;
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).split(b'\n') {
                // What a failing case shows may be anything, text or not.
                let line = String::from_utf8_lossy(&line?).into_owned();
                writeln!(io::stdout(), "{line}")?;
                tally = Tally::read(&line).or(tally);
            }
        }
        let status = child.wait()?;
        let tally = tally.context("the suite ended without saying how many cases passed")?;
        println!("conformance: {} cases passed, {} failed", tally.passed, tally.failed);
        ensure!(status.success() && tally.failed == 0, "not every case passed; see above");
        // A person who chooses cases knows how many.
        ensure!(
            !self.whole || tally.passed == expected,
            "{expected} cases should have run; if the suite or its configuration changed on \
             purpose, that number must follow"
        );
        Ok(ExitCode::SUCCESS)
    }
}

/// How many cases ended how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    /// What the line `734 passed, 2 failed` says; None for any other.
    fn read(line: &str) -> Option<Self> {
        let (passed, failed) = line.trim().strip_suffix(" failed")?.split_once(" passed, ")?;
        Some(Self { passed: passed.parse().ok()?, failed: failed.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_the_suite_is_told_from_its_other_lines() {
        assert_eq!(Tally::read("734 passed, 2 failed"), Some(Tally { passed: 734, failed: 2 }));
        for line in ["Total cases: 1310", "FAILED: Basic/unary/failed", "", "a passed, b failed"] {
            assert_eq!(Tally::read(line), None, "{line}");
        }
    }
}
