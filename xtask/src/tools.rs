//! The tools the page is built with: which version of each, and how it comes to a fresh machine.
//!
//! A tool that PATH has in the right version is used as it is. Any other goes into a folder of its
//! own, `<cache>/tools/<name>-<version>`, which is put first on PATH for what we start: nothing a
//! person installed is replaced, and two checkouts may want two versions. Only registries are
//! asked (crates.io, npm, Go's module proxy), because a build machine can reach them anyway.

pub(crate) mod compiler;
pub(crate) mod go;
mod link;
mod package;

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};

use self::package::Package;
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
/// Judges what we depend on: licences, sources, known faults.
const CARGO_DENY: &str = "0.20.2";
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
        folders.extend(Package::new("trunk", TRUNK).ensure(workspace)?);
        folders.extend(wasm_bindgen(&bindgen).ensure(workspace)?);
        let (wasm_opt, folder) = wasm_opt(workspace, which("wasm-opt"))?;
        if let Some(folder) = &folder {
            link::offer("wasm-opt", &folder.join("wasm-opt"), &workspace.cache.join("tools"));
        }
        folders.extend(folder);

        let path = with_path(folders)?;
        let rustc = cmd!(workspace.shell, "rustc --version").quiet().read()?;
        let versions = format!("{rustc}; trunk {TRUNK}; wasm-bindgen {bindgen}; {wasm_opt}");
        Ok(Self { path, versions })
    }
}

/// What `cargo test` runs a wasm with: a page around it, in a browser.
pub(crate) fn wasm_test_runner(workspace: &Workspace) -> Result<PathBuf> {
    wasm_bindgen(&bindgen_version(workspace)?).program(workspace, "wasm-bindgen-test-runner")
}

/// What drives Firefox.
pub(crate) fn geckodriver(workspace: &Workspace) -> Result<PathBuf> {
    Package::new("geckodriver", GECKODRIVER).program(workspace, "geckodriver")
}

/// `cargo deny`.
pub(crate) fn cargo_deny(workspace: &Workspace) -> Result<PathBuf> {
    Package::new("cargo-deny", CARGO_DENY).program(workspace, "cargo-deny")
}

/// PATH with `cargo fuzz`.
pub(crate) fn cargo_fuzz(workspace: &Workspace) -> Result<OsString> {
    with_path(Package::new("cargo-fuzz", CARGO_FUZZ).ensure(workspace)?)
}

/// The glue of a wasm, and what runs a wasm's tests: one package, so one compilation.
fn wasm_bindgen(version: &str) -> Package<'_> {
    Package {
        programs: vec!["wasm-bindgen", "wasm-bindgen-test-runner"],
        // The lock file of 0.2.130 names a webpki-roots that not every registry has; wasm-pack does
        // without it, too.
        locked: false,
        ..Package::new("wasm-bindgen-cli", version)
    }
}

/// PATH with `folders` before all others.
fn with_path(folders: impl IntoIterator<Item = PathBuf>) -> Result<OsString> {
    let rest = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(folders.into_iter().chain(env::split_paths(&rest)))?)
}

/// wasm-opt's version as words, and its folder if PATH needs one; `found` is the one on PATH.
///
/// The version is what the program itself says. The page is built anew when these words change, so they
/// must not depend on how the program was found.
fn wasm_opt(workspace: &Workspace, found: Option<PathBuf>) -> Result<(String, Option<PathBuf>)> {
    let shell = &workspace.shell;
    if let Some(version) = found.and_then(|found| version_of(shell, &found))
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
    let version = version_of(shell, &exe).with_context(|| format!("{} fails", exe.display()))?;
    Ok((format!("wasm-opt {version}"), Some(bin)))
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

    #[cfg(unix)]
    #[test]
    fn wasm_opt_is_called_the_same_in_our_cache_and_on_path() {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = tempfile::tempdir().unwrap();
        let (root, target) = (dir.path().to_owned(), dir.path().join("target"));
        let shell = Shell::new().unwrap();
        let workspace = Workspace { root, target, cache: dir.path().to_owned(), shell };
        let bin = dir.path().join(format!("tools/binaryen-{BINARYEN}/node_modules/.bin"));
        fs::create_dir_all(&bin).unwrap();
        let program = bin.join("wasm-opt");
        fs::write(&program, "#!/bin/sh\necho 'wasm-opt version 132 (version_132)'\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();

        // The first run finds it in the cache and links it into a folder of PATH, where the next finds it.
        let first = wasm_opt(&workspace, None).unwrap();
        let next = wasm_opt(&workspace, Some(program)).unwrap();
        assert_eq!(first, ("wasm-opt 132".to_owned(), Some(bin)));
        assert_eq!(next, ("wasm-opt 132".to_owned(), None));
    }

    #[test]
    fn the_lock_file_gives_the_version_of_wasm_bindgen_itself() {
        let lock = "[[package]]\nname = \"wasm-bindgen-futures\"\nversion = \"0.4.1\"\n\n\
                    [[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.9\"\nsource = \"x\"\n";
        assert_eq!(locked_version(lock).unwrap(), "0.2.9");
        assert!(locked_version("name = \"wasm\"\nversion = \"1\"\n").is_err());
    }
}
