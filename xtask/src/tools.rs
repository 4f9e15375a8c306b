//! The tools the page is built with: which version of each, and how it comes to a fresh machine.
//!
//! A tool that PATH has in the right version is used as it is. Any other goes into a folder of its
//! own, `<cache>/tools/<name>-<version>`, which is put first on PATH for what we start: nothing a
//! person installed is replaced, and two checkouts may want two versions. Only registries are
//! asked (crates.io, npm, Go's module proxy), because a build machine can reach them anyway.

pub(crate) mod compiler;
pub(crate) mod go;
mod link;

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};

use crate::workspace::{Workspace, run_tool, step, which};

/// What the page is compiled for.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";
/// Builds the page. Pinned: its output is what [`crate::page`] knows how to package.
const TRUNK: &str = "0.21.14";
/// npm's build of wasm-opt.
const BINARYEN: &str = "132.0.0";
/// Drives Firefox.
const GECKODRIVER: &str = "0.37.1";
/// Builds the fuzz targets.
const CARGO_FUZZ: &str = "0.13.2";
/// The oldest wasm-opt that reads what today's rustc writes; Debian 12 has 108, which does not.
const WASM_OPT_OLDEST: u32 = 120;

/// Every tool in place.
pub(crate) struct Tools {
    /// PATH for whatever uses them.
    pub(crate) path: OsString,
    /// One line that changes when the compiler or a tool does.
    pub(crate) versions: String,
}

impl Tools {
    /// Finds or installs them all.
    pub(crate) fn ensure(workspace: &Workspace) -> Result<Self> {
        compiler::ensure_target(workspace, WASM)?;
        let bindgen = bindgen_version(workspace)?;
        let mut folders = Vec::new();
        folders.extend(cargo_tool(workspace, "trunk", "trunk", TRUNK)?);
        folders.extend(cargo_tool(workspace, "wasm-bindgen-cli", "wasm-bindgen", &bindgen)?);
        let (wasm_opt, folder) = wasm_opt(workspace)?;
        folders.extend(folder);

        let path = with_path(folders)?;
        let rustc = cmd!(workspace.shell, "rustc --version").quiet().read()?;
        let versions = format!("{rustc}; trunk {TRUNK}; wasm-bindgen {bindgen}; {wasm_opt}");
        Ok(Self { path, versions })
    }
}

/// What `cargo test` runs a wasm with: a page around it, in a browser.
pub(crate) fn wasm_test_runner(workspace: &Workspace) -> Result<PathBuf> {
    let bindgen = bindgen_version(workspace)?;
    cargo_program(workspace, "wasm-bindgen-cli", "wasm-bindgen-test-runner", &bindgen)
}

/// What drives Firefox.
pub(crate) fn geckodriver(workspace: &Workspace) -> Result<PathBuf> {
    cargo_program(workspace, "geckodriver", "geckodriver", GECKODRIVER)
}

/// PATH with `cargo fuzz`.
pub(crate) fn cargo_fuzz(workspace: &Workspace) -> Result<OsString> {
    let folder = cargo_tool(workspace, "cargo-fuzz", "cargo-fuzz", CARGO_FUZZ)?;
    with_path(folder)
}

/// PATH with `folders` before all others.
fn with_path(folders: impl IntoIterator<Item = PathBuf>) -> Result<OsString> {
    let rest = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(folders.into_iter().chain(env::split_paths(&rest)))?)
}

/// A program that crates.io has the source of; its path.
fn cargo_program(
    workspace: &Workspace,
    package: &str,
    program: &str,
    version: &str,
) -> Result<PathBuf> {
    match cargo_tool(workspace, package, program, version)? {
        Some(folder) => Ok(folder.join(format!("{program}{}", env::consts::EXE_SUFFIX))),
        None => which(program).with_context(|| format!("{program} is gone from PATH")),
    }
}

/// A program that crates.io has the source of; its folder, if PATH needs one.
fn cargo_tool(
    workspace: &Workspace,
    package: &str,
    program: &str,
    version: &str,
) -> Result<Option<PathBuf>> {
    let shell = &workspace.shell;
    if let Some(found) = which(program)
        && version_of(shell, &found).is_some_and(|found| found == version)
    {
        return Ok(None);
    }
    let tools = workspace.cache.join("tools");
    let root = tools.join(format!("{package}-{version}"));
    let bin = root.join("bin");
    let exe = bin.join(format!("{program}{}", env::consts::EXE_SUFFIX));
    if !exe.is_file() {
        step(format!("cargo install {package}@{version} (compiles for 3 to 10 minutes, once)"));
        // A target folder of its own: the workspace's, if shared, would be locked meanwhile. It
        // is left behind only by a failure, from which the next attempt goes on.
        let build = root.join("build");
        let spec = format!("{package}@{version}");
        let install = |locked: Option<&str>| {
            let spec = [spec.as_str(), "--bin", program];
            run_tool(
                cmd!(shell, "cargo install {spec...} --root {root} --target-dir {build}")
                    .args(locked),
            )
        };
        // The versions its authors tested, unless one of them has been withdrawn since.
        if let Err(error) = install(Some("--locked")) {
            step(format!("{error}; once more with the newest dependencies"));
            install(None)?;
        }
        fs::remove_dir_all(build).ok();
    }
    link::offer(program, &exe, &tools);
    Ok(Some(bin))
}

/// wasm-opt's version as words, and its folder if PATH needs one.
fn wasm_opt(workspace: &Workspace) -> Result<(String, Option<PathBuf>)> {
    let shell = &workspace.shell;
    if let Some(version) = which("wasm-opt").and_then(|found| version_of(shell, &found))
        && version.parse::<u32>().is_ok_and(|version| version >= WASM_OPT_OLDEST)
    {
        return Ok((format!("wasm-opt {version}"), None));
    }
    let tools = workspace.cache.join("tools");
    let root = tools.join(format!("binaryen-{BINARYEN}"));
    let bin = root.join("node_modules/.bin");
    let exe = bin.join("wasm-opt");
    if !exe.is_file() {
        if which("npm").is_none() {
            // Trunk fetches a release of binaryen itself where it can; where it cannot, it says so.
            return Ok(("wasm-opt of trunk".to_owned(), None));
        }
        step(format!("npm install binaryen@{BINARYEN} (wasm-opt, half a minute)"));
        // Complete or absent: npm leaves half a folder when it is interrupted.
        let partial = tools.join(format!("binaryen-{BINARYEN}.partial"));
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        fs::create_dir_all(&partial)?;
        let spec = format!("binaryen@{BINARYEN}");
        run_tool(cmd!(
            shell,
            "npm install --prefix {partial} --no-audit --no-fund --loglevel=error {spec}"
        ))?;
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        fs::rename(&partial, &root)?;
    }
    link::offer("wasm-opt", &exe, &tools);
    Ok((format!("binaryen {BINARYEN}"), Some(bin)))
}

/// The first word of `program --version` that begins with a digit.
fn version_of(shell: &Shell, program: &Path) -> Option<String> {
    let output = cmd!(shell, "{program} --version").quiet().ignore_stderr().read().ok()?;
    version_in(&output).map(str::to_owned)
}

fn version_in(output: &str) -> Option<&str> {
    output.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
}

fn bindgen_version(workspace: &Workspace) -> Result<String> {
    locked_version(&fs::read_to_string(workspace.root.join("Cargo.lock"))?)
}

/// The wasm-bindgen of `Cargo.lock`: glue and compiled code must be of one version, to the letter.
fn locked_version(lock: &str) -> Result<String> {
    let mut lines = lock.lines();
    lines.find(|line| *line == r#"name = "wasm-bindgen""#);
    let version = lines.next().and_then(|line| line.strip_prefix(r#"version = ""#));
    let version = version.and_then(|rest| rest.strip_suffix('"'));
    Ok(version.context("no wasm-bindgen in Cargo.lock")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_each_tool_prints() {
        assert_eq!(version_in("trunk 0.21.14\n"), Some("0.21.14"));
        assert_eq!(version_in("wasm-bindgen 0.2.130 (27c7a4d06)"), Some("0.2.130"));
        assert_eq!(version_in("wasm-opt version 108 (version_108)"), Some("108"));
        assert_eq!(version_in("error: no such command"), None);
    }

    #[test]
    fn the_lock_file_gives_the_version_of_wasm_bindgen_itself() {
        let lock = "[[package]]\nname = \"wasm-bindgen-futures\"\nversion = \"0.4.1\"\n\n\
                    [[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.9\"\nsource = \"x\"\n";
        assert_eq!(locked_version(lock).unwrap(), "0.2.9");
        assert!(locked_version("name = \"wasm\"\nversion = \"1\"\n").is_err());
    }
}
