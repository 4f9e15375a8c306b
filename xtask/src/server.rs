//! The server: one release binary with the page inside, and how it is started.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::{
    debian,
    tools::compiler,
    workspace::{Workspace, run_tool, step, which},
};

/// Builds `release/runnel` from the sources and from `dist/`; returns its path.
pub(crate) fn build(workspace: &Workspace, target: Option<&str>) -> Result<PathBuf> {
    let shell = &workspace.shell;
    let mut folder = workspace.target.clone();
    let mut flags = Vec::new();
    if let Some(triple) = target {
        compiler::ensure_target(workspace, triple)?;
        ensure_c_compiler(workspace, triple)?;
        folder.push(triple);
        flags.extend(["--target", triple]);
    }
    step("server: cargo build --release (some minutes the first time)");
    run_tool(cmd!(shell, "cargo build --release -p runnel {flags...}"))?;
    let windows = match target {
        Some(triple) => triple.contains("windows"),
        None => cfg!(windows),
    };
    let binary = folder.join("release").join(if windows { "runnel.exe" } else { "runnel" });
    anyhow::ensure!(binary.is_file(), "cargo built no {}", binary.display());
    Ok(binary)
}

/// For musl some crates need a C compiler of its own (the cryptography, the allocator).
fn ensure_c_compiler(workspace: &Workspace, triple: &str) -> Result<()> {
    let found = || which("musl-gcc").is_some();
    let chosen = env::var_os(format!("CC_{}", triple.replace('-', "_"))).is_some();
    if !triple.ends_with("-musl") || chosen || found() {
        return Ok(());
    }
    if debian::can_install(&workspace.shell) {
        debian::install(&workspace.shell, &["musl-tools"])?;
    }
    anyhow::ensure!(
        found(),
        "a static server needs musl-gcc, which is not on PATH; on Debian and Ubuntu:\n  \
         sudo apt-get install musl-tools"
    );
    Ok(())
}

/// Becomes the server, so that signals and the exit code are its own.
pub(crate) fn run(binary: &Path, args: &[OsString]) -> Result<ExitCode> {
    step(
        "starting; the page is at the address the server logs (http://127.0.0.1:8080 unless told \
         otherwise)",
    );
    start(Command::new(binary).args(args))
        .with_context(|| format!("cannot start {}", binary.display()))
}

#[cfg(unix)]
fn start(command: &mut Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec().into()) // returns only if it failed
}

#[cfg(not(unix))]
fn start(command: &mut Command) -> Result<ExitCode> {
    let code = command.status()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
