//! Where things are: the sources, cargo's target folder, the cache for tools, and what PATH knows.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use xshell::{Cmd, Shell, cmd};

/// The places and the shell every command works with.
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`; the shell stands in it.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, `CARGO_TARGET_DIR` and configuration included.
    pub(crate) target: PathBuf,
    /// What outlives a clone: tools and the Python environment, each in a versioned folder.
    pub(crate) cache: PathBuf,
    /// Runs commands in `root`.
    pub(crate) shell: Shell,
}

impl Workspace {
    /// Asks cargo, who alone knows all the ways to move the target folder.
    pub(crate) fn find() -> Result<Self> {
        let shell = Shell::new()?;
        let json = cmd!(shell, "cargo metadata --no-deps --format-version 1").quiet().read()?;
        let metadata: serde_json::Value = serde_json::from_str(&json)?;
        let folder = |key: &str| {
            let path = metadata[key].as_str().with_context(|| format!("no {key} in metadata"))?;
            anyhow::Ok(PathBuf::from(path))
        };
        let (root, target) = (folder("workspace_root")?, folder("target_directory")?);
        shell.change_dir(&root);
        let cache = match env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
            Some(dir) => PathBuf::from(dir),
            None => env::home_dir().context("no home folder: set XDG_CACHE_HOME")?.join(".cache"),
        };
        Ok(Self { root, target, cache: cache.join("runnel"), shell })
    }
}

/// Runs a tool where people see it: all it says goes to standard error, because standard output is
/// for results (the path `build` prints), and trunk and apt are chatty there.
pub(crate) fn run_tool(cmd: Cmd<'_>) -> Result<()> {
    let words = cmd.to_string();
    let status = Command::from(cmd).stdout(io::stderr()).status();
    let status = status.with_context(|| format!("cannot start `{words}`"))?;
    ensure!(status.success(), "`{words}` failed: {status}");
    Ok(())
}

/// The folder `cargo install` puts programs in, which rustup has people put on PATH.
pub(crate) fn cargo_bin() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    Some(home.or_else(|| Some(env::home_dir()?.join(".cargo")))?.join("bin"))
}

/// A program somebody chose by an environment variable.
pub(crate) fn given(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The program a command of this name would start.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let file = format!("{program}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(&file)).find(|path| runs(path))
}

#[cfg(unix)]
fn runs(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn runs(path: &Path) -> bool {
    path.is_file()
}

/// Says what comes next and roughly how long it takes, so that nobody watches a silent terminal.
pub(crate) fn step(what: impl std::fmt::Display) {
    eprintln!("==> {what}");
}
