//! What the compiler of `rust-toolchain.toml` must bring: targets and components.

use std::path::PathBuf;

use anyhow::{Result, bail};
use xshell::cmd;

use crate::workspace::{Workspace, run_tool, step, which};

/// Sees to it that the compiler has the standard library of `triple`.
pub(crate) fn ensure_target(workspace: &Workspace, triple: &str) -> Result<()> {
    let shell = &workspace.shell;
    let sysroot = PathBuf::from(cmd!(shell, "rustc --print sysroot").quiet().read()?);
    let library = sysroot.join("lib/rustlib").join(triple).join("lib");
    if library.is_dir() {
        return Ok(());
    }
    if which("rustup").is_none() {
        bail!(
            "this compiler has no standard library for {triple}, and there is no rustup to add \
             it.\nInstall rustup (https://rustup.rs), or your distribution's package for {triple}"
        );
    }
    step(format!("rustup: standard library for {triple} (20 MB)"));
    run_tool(cmd!(shell, "rustup target add {triple}"))?;
    Ok(())
}

/// Sees to it that `cargo fmt` and `cargo clippy` exist.
pub(crate) fn ensure_checks(workspace: &Workspace) -> Result<()> {
    let shell = &workspace.shell;
    for (tool, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if cmd!(shell, "cargo {tool} --version").quiet().ignore_stderr().read().is_err() {
            step(format!("rustup: {component}"));
            run_tool(cmd!(shell, "rustup component add {component}"))?;
        }
    }
    Ok(())
}
