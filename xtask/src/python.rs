//! The Python of the interop tests: grpcio in a virtual environment of its own.

use std::{env, fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use xshell::cmd;

use crate::{
    debian,
    workspace::{Workspace, run_tool, step, which},
};

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// The interpreter of an environment that has exactly [`REQUIREMENTS`].
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(python) = env::var_os("RUNNEL_PYTHON").filter(|path| !path.is_empty()) {
        return Ok(PathBuf::from(python));
    }
    let shell = &workspace.shell;
    let has_venv = || cmd!(shell, "python3 -c 'import ensurepip, venv'").quiet().ignore_stderr();
    if (which("python3").is_none() || has_venv().run().is_err()) && debian::can_install(shell) {
        debian::install(shell, &["python3", "python3-venv"])?;
    }
    if which("python3").is_none() {
        bail!("the interop tests need Python 3.10 or later: there is no python3 on PATH");
    }
    if has_venv().run().is_err() {
        bail!("python3 cannot make virtual environments (Debian: apt-get install python3-venv)");
    }

    // Another Python or another requirement is another environment, never a patched-up one.
    let version = cmd!(shell, "python3 --version").quiet().read()?;
    let key = format!("{:x}", Sha256::digest(format!("{version}\n{REQUIREMENTS}")));
    let venv = workspace.cache.join(format!("python-{}", &key[..16]));
    let python = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    let python = venv.join(python);
    // Written last: an interrupted installation is not taken for a good one.
    let complete = venv.join("complete");
    if complete.is_file() && python.is_file() {
        return Ok(python);
    }

    step(format!("{version}: grpcio into {} (half a minute)", venv.display()));
    if venv.exists() {
        fs::remove_dir_all(&venv)?;
    }
    run_tool(cmd!(shell, "python3 -m venv {venv}"))?;
    let requirements = venv.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS)?;
    // Wheels only: compiling grpcio takes the better part of an hour and a C++ compiler.
    let pip = cmd!(shell, "{python} -m pip install --quiet --disable-pip-version-check")
        .args(["--only-binary", ":all:", "--requirement"])
        .arg(&requirements);
    run_tool(pip).with_context(|| format!("{version} has no wheels for xtask/requirements.txt"))?;
    fs::write(&complete, "")?;
    Ok(python)
}
