//! Programs that crates.io has the source of: compiled here, once for each version.

use std::{env, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use xshell::cmd;

use super::{link, version_of};
use crate::workspace::{Workspace, run_tool, step, which};

/// A package of crates.io, and which of its programs we use.
pub(super) struct Package<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) programs: Vec<&'a str>,
    /// Whether it is compiled with the dependencies that its authors tested, or the newest.
    pub(super) locked: bool,
}

impl<'a> Package<'a> {
    /// One that has a program of its own name.
    pub(super) fn new(name: &'a str, version: &'a str) -> Self {
        Self { name, version, programs: vec![name], locked: true }
    }

    /// One of its programs; the path.
    pub(super) fn program(&self, workspace: &Workspace, program: &str) -> Result<PathBuf> {
        match self.ensure(workspace)? {
            Some(folder) => Ok(folder.join(file_name(program))),
            None => which(program).with_context(|| format!("{program} is gone from PATH")),
        }
    }

    /// Sees to it that all its programs are there; their folder, if PATH needs one.
    pub(super) fn ensure(&self, workspace: &Workspace) -> Result<Option<PathBuf>> {
        let shell = &workspace.shell;
        let on_path = |program: &&str| {
            which(program)
                .and_then(|found| version_of(shell, &found))
                .is_some_and(|found| found == self.version)
        };
        if self.programs.iter().all(on_path) {
            return Ok(None);
        }
        let tools = workspace.cache.join("tools");
        let root = tools.join(format!("{}-{}", self.name, self.version));
        let bin = root.join("bin");
        if !self.programs.iter().all(|program| bin.join(file_name(program)).is_file()) {
            let spec = format!("{}@{}", self.name, self.version);
            step(format!("cargo install {spec} (compiles for 3 to 10 minutes, once)"));
            // A target folder of its own: the workspace's, if shared, would be locked meanwhile. It
            // is left behind only by a failure, from which the next attempt goes on.
            let build = root.join("build");
            let install = |locked: bool| {
                let programs = self.programs.iter().flat_map(|program| ["--bin", program]);
                run_tool(
                    cmd!(shell, "cargo install {spec} --root {root} --target-dir {build}")
                        .args(programs)
                        .args(locked.then_some("--locked")),
                )
            };
            if let Err(error) = install(self.locked) {
                if !self.locked {
                    return Err(error);
                }
                // A version that the lock file names may have been withdrawn since.
                step(format!("{error}; once more with the newest dependencies"));
                install(false)?;
            }
            fs::remove_dir_all(build).ok();
        }
        for program in &self.programs {
            link::offer(program, &bin.join(file_name(program)), &tools);
        }
        Ok(Some(bin))
    }
}

fn file_name(program: &str) -> String {
    format!("{program}{}", env::consts::EXE_SUFFIX)
}
