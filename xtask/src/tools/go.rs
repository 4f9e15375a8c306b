//! What is written in Go: programs, and modules for the files in them. Only Go's module proxy is
//! asked.

use std::{env, fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use xshell::{Shell, cmd};

use crate::workspace::{Workspace, given, run_tool, step, which};

/// The backends in Go that tests are in front of: what `RUNNEL_GO_BACKENDS` names, or built here.
pub(crate) fn ensure_test_backends(workspace: &Workspace) -> Result<PathBuf> {
    match given("RUNNEL_GO_BACKENDS") {
        Some(program) => Ok(program),
        None => Go::find(workspace)?.test_backends(),
    }
}

/// A `go` command that runs.
pub(crate) struct Go<'a> {
    workspace: &'a Workspace,
    program: PathBuf,
}

impl<'a> Go<'a> {
    /// Finds Go, or says where to get it.
    pub(crate) fn find(workspace: &'a Workspace) -> Result<Self> {
        // Go's own archive is unpacked there, and no PATH knows it until somebody edits a profile.
        let unpacked = PathBuf::from("/usr/local/go/bin/go");
        match which("go").or_else(|| unpacked.is_file().then_some(unpacked)) {
            Some(program) => Ok(Self { workspace, program }),
            None => bail!(
                "this needs Go 1.21 or later, and there is no `go` on PATH. Get it from \
                 https://go.dev/dl, or as your distribution's package"
            ),
        }
    }

    /// The program that `package` of a module is; its path.
    pub(crate) fn program(&self, package: &str, version: &str) -> Result<PathBuf> {
        // The last part of the path, or the one before it if that is a version: `kustomize/v5`.
        let is_version = |part: &&str| {
            part.strip_prefix('v').is_some_and(|number| number.parse::<u32>().is_ok())
        };
        let name = package.rsplit('/').find(|part| !is_version(part)).unwrap_or(package);
        let root = self.workspace.cache.join("tools").join(format!("{name}-{version}"));
        let exe = root.join(format!("{name}{}", env::consts::EXE_SUFFIX));
        if !exe.is_file() {
            step(format!("go install {name}@v{version} (a minute or two, once)"));
            // Complete or absent, whatever interrupts it.
            let partial = root.with_added_extension("partial");
            for folder in [&partial, &root] {
                if folder.exists() {
                    fs::remove_dir_all(folder)?;
                }
            }
            fs::create_dir_all(&partial)?;
            let (shell, go) = (self.shell(), &self.program);
            let install = cmd!(shell, "{go} install {package}@v{version}").env("GOBIN", &partial);
            run_tool(install).context("Go older than 1.21 cannot fetch the Go a module needs")?;
            fs::rename(&partial, &root)?;
        }
        Ok(exe)
    }

    /// The folder with the files of a module.
    pub(crate) fn module(&self, module: &str, version: &str) -> Result<PathBuf> {
        let (shell, go) = (self.shell(), &self.program);
        let json = cmd!(shell, "{go} mod download -json {module}@v{version}").quiet().read()?;
        let answer: serde_json::Value = serde_json::from_str(&json)?;
        let folder = answer["Dir"].as_str().with_context(|| format!("go has no {module}"))?;
        Ok(PathBuf::from(folder))
    }

    /// The program of the module in `tests/go`, in cargo's target folder. Go knows when it is up to date.
    pub(crate) fn test_backends(&self) -> Result<PathBuf> {
        step("go build: a backend in Go (a minute, once)");
        let exe = self.workspace.target.join(format!("go-backends{}", env::consts::EXE_SUFFIX));
        let (shell, go, module) =
            (self.shell(), &self.program, self.workspace.root.join("tests/go"));
        // Outside a clone, or in one that git does not trust, stamping the version fails.
        run_tool(cmd!(shell, "{go} -C {module} build -mod=readonly -buildvcs=false -o {exe} ."))?;
        Ok(exe)
    }

    fn shell(&self) -> &'a Shell {
        &self.workspace.shell
    }
}
