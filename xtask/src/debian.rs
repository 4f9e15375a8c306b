//! Installing from Debian: what lets `cargo xtask test` run in a bare container or CI machine.

use std::fs;

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::workspace::{run_tool, step};

/// Whether packages can be installed without asking anyone: Debian itself, and root.
///
/// Not its derivatives: Ubuntu's `chromium` is a stub for a snap, which chromedriver cannot start.
pub(crate) fn can_install(shell: &Shell) -> bool {
    let debian = fs::read_to_string("/etc/os-release")
        .is_ok_and(|text| text.lines().any(|line| line == "ID=debian"));
    debian && cmd!(shell, "id -u").quiet().ignore_stderr().read().is_ok_and(|id| id == "0")
}

/// `apt-get update` and `install`, without questions.
pub(crate) fn install(shell: &Shell, packages: &[&str]) -> Result<()> {
    step(format!("apt-get install {} (a minute or two)", packages.join(" ")));
    let _quiet = shell.push_env("DEBIAN_FRONTEND", "noninteractive");
    run_tool(cmd!(shell, "apt-get update -q"))?;
    run_tool(cmd!(shell, "apt-get install -y -q --no-install-recommends {packages...}"))?;
    Ok(())
}
