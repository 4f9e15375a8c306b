//! `cargo xtask check`: what no compiler sees. The licences and sources of what we depend on, which way
//! our crates depend on each other, the workflows of CI, and the manifests for Kubernetes.

mod modules;

use std::{
    fs,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};
use clap::Subcommand;

use crate::{
    layers, manifests,
    tools::{self, go::Go},
    workspace::{Workspace, step},
};

const ACTIONLINT: &str = "github.com/rhysd/actionlint/cmd/actionlint";
const ACTIONLINT_VERSION: &str = "1.7.12";

/// Each lock file stands for a set of dependencies.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "tests/fuzz/Cargo.toml"];

/// What is checked.
#[derive(Subcommand)]
pub(crate) enum What {
    /// Check the licences and the sources of all dependencies, and that none is banned: deny.toml.
    Dependencies {
        /// Also ask the database of known vulnerabilities, which is on github.com.
        #[arg(long)]
        advisories: bool,
    },
    /// Check that the crates under crates/ depend neither on the product nor on clap, prometheus or leptos.
    Crates,
    /// Check that no modules of a crate import each other in circles.
    Modules,
    /// Check the workflows of .github/workflows. Go must be installed.
    Workflows,
    /// Check the Kubernetes manifests of deploy/kubernetes. Go must be installed, and Python 3.
    Manifests,
}

/// Checks it.
pub(crate) fn run(workspace: &Workspace, what: &What) -> Result<ExitCode> {
    match what {
        What::Dependencies { advisories } => dependencies(workspace, *advisories)?,
        What::Crates => layers::check(workspace)?,
        What::Modules => modules::check(workspace)?,
        What::Workflows => workflows(workspace)?,
        What::Manifests => manifests::check(workspace)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn dependencies(workspace: &Workspace, advisories: bool) -> Result<()> {
    let deny = tools::cargo_deny(workspace)?;
    let config = workspace.root.join("deny.toml");
    for manifest in MANIFESTS {
        step(format!("dependencies of {manifest}"));
        let mut command = Command::new(&deny);
        command
            .args(["--locked", "--all-features", "--manifest-path"])
            .arg(workspace.root.join(manifest))
            .arg("--config")
            .arg(&config)
            .args(["check", "bans", "licenses", "sources"])
            .args(advisories.then_some("advisories"));
        let status = command.status().context("cannot start cargo-deny")?;
        ensure!(status.success(), "cargo deny does not let the dependencies of {manifest} pass");
    }
    Ok(())
}

fn workflows(workspace: &Workspace) -> Result<()> {
    let actionlint = Go::find(workspace)?.program(ACTIONLINT, ACTIONLINT_VERSION)?;
    let folder = workspace.root.join(".github/workflows");
    // Named one by one: left to look for them itself, it asks git, which an exported tree lacks.
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("no {}", folder.display()))? {
        files.push(entry?.path());
    }
    ensure!(!files.is_empty(), "there is no workflow in {}", folder.display());
    step(format!("{} workflow(s)", files.len()));
    let status = Command::new(actionlint).args(&files).status();
    ensure!(
        status.context("cannot start actionlint")?.success(),
        "actionlint found faults; see above"
    );
    Ok(())
}
