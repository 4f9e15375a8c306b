//! `cargo xtask fuzz`: libFuzzer at each parser that is ours, for a bounded time. What the targets do is
//! in the files `src/fuzzing.rs` of the server, `crates/rpc` and `crates/client`; what they start from is in
//! `tests/fuzz/corpus`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};
use xshell::cmd;

use crate::{
    tools,
    workspace::{Workspace, run_tool, step},
};

/// Far more than any target needs; what takes more has found something.
const RSS_LIMIT_MB: u32 = 1024;
/// How long one input may take, in seconds.
const INPUT_SECONDS: u32 = 10;

/// What is fuzzed, and for how long.
#[derive(Args)]
pub(crate) struct What {
    /// Fuzz this target only.
    target: Option<Target>,
    /// How long each target runs.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Keep the inputs that reach new code, in tests/fuzz/corpus and as few as possible.
    #[arg(long)]
    keep: bool,
}

/// The bins of `tests/fuzz`.
#[derive(Clone, Copy, ValueEnum)]
enum Target {
    /// The walk over a request's messages.
    Envelope,
    /// `grpc-timeout`.
    Deadline,
    /// Verb, version and media types of a call.
    Normalize,
    /// `accept-encoding` and `if-none-match`.
    Ui,
    /// A whole call through every layer.
    Call,
    /// The browser client's reading of an answer.
    Answer,
}

/// Fuzzes it.
pub(crate) fn run(workspace: &Workspace, what: &What) -> Result<ExitCode> {
    let fuzz = Fuzz::build(workspace)?;
    let targets = what.target.as_ref().map_or(Target::value_variants(), std::slice::from_ref);
    for target in targets {
        let name = target.to_possible_value().context("a target without a name")?;
        fuzz.run(name.get_name(), what)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The targets, built.
struct Fuzz<'a> {
    workspace: &'a Workspace,
    /// The folder of the programs.
    programs: PathBuf,
    /// What may be thrown away: new inputs, and those that failed.
    scratch: PathBuf,
}

impl<'a> Fuzz<'a> {
    /// With the compiler of `rust-toolchain.toml`: only sanitizers need a nightly one, and there is
    /// nothing for them to find in code without `unsafe`.
    fn build(workspace: &'a Workspace) -> Result<Self> {
        let shell = &workspace.shell;
        let path = tools::cargo_fuzz(workspace)?;
        let manifest = workspace.root.join("tests/fuzz/Cargo.toml");
        cmd!(shell, "cargo metadata --locked --format-version 1 --manifest-path {manifest}")
            .quiet()
            .ignore_stdout()
            .run()
            .context(
                "tests/fuzz/Cargo.lock is not up to date; \
                 `cargo metadata --manifest-path tests/fuzz/Cargo.toml` writes it",
            )?;
        step("fuzz targets: cargo fuzz build (some five minutes the first time)");
        let rustc = cmd!(shell, "rustc -vV").quiet().read()?;
        let host = rustc.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.context("rustc -vV names no host")?;
        let target = workspace.target.join("fuzz");
        // In 16 units rather than one: sooner built, hardly slower.
        run_tool(
            cmd!(shell, "cargo fuzz build --fuzz-dir tests/fuzz --sanitizer none --target {host}")
                .args(["--codegen-units", "16", "--target-dir"])
                .arg(&target)
                .env("PATH", path),
        )?;
        let programs = target.join(host).join("release");
        Ok(Self { workspace, programs, scratch: target.join("found") })
    }

    fn run(&self, name: &str, what: &What) -> Result<()> {
        step(format!("fuzz {name}: {} s", what.seconds));
        let corpus = self.workspace.root.join("tests/fuzz/corpus").join(name);
        let found = self.scratch.join(name);
        let failed = self.scratch.join("failed");
        // Every run starts from the kept corpus and nothing else, so that it can be repeated.
        if found.exists() {
            fs::remove_dir_all(&found)?;
        }
        fs::create_dir_all(&found)?;
        fs::create_dir_all(&failed)?;
        let program = self.programs.join(format!("{name}{}", env::consts::EXE_SUFFIX));
        // New inputs go into the first folder.
        let output = libfuzzer(&program)
            .arg(format!("-max_total_time={}", what.seconds))
            .arg(format!("-artifact_prefix={}/{name}-", failed.display()))
            .args(["-seed=1", "-print_final_stats=1"])
            .args([&found, &corpus])
            .output()
            .with_context(|| format!("cannot start {}", program.display()))?;
        // Any input may be in it, text or not.
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            eprintln!("{said}");
            let input = value_of(&said, "Test unit written to").unwrap_or("FILE");
            bail!(
                "the target {name} failed: {}; what it says is above. To run that input again:\n  \
                 {} {input}\n\
                 Once it is mended, put the file into tests/fuzz/corpus/{name}: `cargo test` runs it \
                 from then on",
                output.status,
                program.display()
            );
        }
        let inputs = value_of(&said, "stat::number_of_executed_units:").unwrap_or("no");
        let new = fs::read_dir(&found)?.count();
        eprintln!("    {inputs} inputs, {new} of them new to the corpus, none failed");
        if what.keep {
            merge(&program, &corpus, &found)?;
        }
        Ok(())
    }
}

/// Adds to `corpus` those of the inputs in `found` that reach what the corpus does not.
fn merge(program: &Path, corpus: &Path, found: &Path) -> Result<()> {
    let files = || Ok::<_, anyhow::Error>(fs::read_dir(corpus)?.count());
    let before = files()?;
    let status = libfuzzer(program).arg("-merge=1").args([corpus, found]).output()?.status;
    ensure!(status.success(), "merging the corpus failed: {status}");
    step(format!("{} inputs kept in {}", files()? - before, corpus.display()));
    Ok(())
}

/// What follows `label` on its line.
fn value_of<'a>(said: &'a str, label: &str) -> Option<&'a str> {
    said.lines().find_map(|line| Some(line.split_once(label)?.1.trim()))
}

/// A target with its bounds.
fn libfuzzer(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg(format!("-rss_limit_mb={RSS_LIMIT_MB}")).arg(format!("-timeout={INPUT_SECONDS}"));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_says_is_read() {
        let said = "stat::peak_rss_mb: 27\nstat::number_of_executed_units: 566\n\
                    artifact_prefix='/t/ui-'; Test unit written to /t/ui-crash-1\nBase64: AA==\n";
        assert_eq!(value_of(said, "stat::number_of_executed_units:"), Some("566"));
        assert_eq!(value_of(said, "Test unit written to"), Some("/t/ui-crash-1"));
        assert_eq!(value_of(said, "stat::slowest"), None);
    }
}
