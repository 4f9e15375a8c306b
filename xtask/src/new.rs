//! `cargo xtask new`: a workspace of one's own beside Runnel's, written from `template/`.
//!
//! The template is a workspace that compiles where it is. Its product has one name in three spellings,
//! `my-product`, `my_product` and `MyProduct`, which are replaced; so are the paths to Runnel.

mod names;

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Component, Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail, ensure};
use xshell::cmd;

use self::names::Names;
use crate::workspace::{Workspace, step};

/// What a build leaves in the template.
const NOT_WRITTEN: [&str; 3] = ["Cargo.lock", "dist", "target"];

/// What is ours and the product's alike: the compiler, how sources are formatted, and which version of each
/// dependency is known to work.
const SHARED: [&str; 3] = ["Cargo.lock", "rust-toolchain.toml", "rustfmt.toml"];

/// Texts by their paths, relative to the product's folder.
type Files = BTreeMap<PathBuf, String>;

/// Writes a product into `folder`, which must be new or empty.
pub(crate) fn run(workspace: &Workspace, folder: &Path) -> Result<ExitCode> {
    let folder = resolved(folder)?;
    let names = names_for(&folder)?;
    let runnel = fs::canonicalize(&workspace.root)?;
    ensure!(
        !folder.starts_with(&runnel),
        "{} is inside of Runnel's own checkout; name a folder beside it, such as ../{}",
        folder.display(),
        names.package
    );
    ensure_new(&folder)?;
    let files = product(&runnel, &names, &way(&folder, &runnel))?;

    for (path, text) in &files {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    format(workspace, &folder, &files);
    println!("{}", folder.display());
    step(format!("{} is in {}; its README.md says how to go on", names.service, folder.display()));
    Ok(ExitCode::SUCCESS)
}

/// The names that the last part of a path stands for.
fn names_for(folder: &Path) -> Result<Names> {
    let name = folder.file_name().context("the path names no folder")?;
    let name = name.to_str().context("the name of the folder is not UTF-8")?;
    Names::of(name)
}

/// An absolute path without links, as far as it exists.
fn resolved(path: &Path) -> Result<PathBuf> {
    let path = env::current_dir()?.join(path);
    let mut missing = Vec::new();
    let mut at = path.as_path();
    loop {
        match fs::canonicalize(at) {
            Ok(found) => return Ok(missing.iter().rev().fold(found, |path, name| path.join(name))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let name = at.file_name().filter(|_| at.parent().is_some());
                missing.push(name.with_context(|| format!("there is no {}", at.display()))?);
                at = at.parent().unwrap_or(at);
            }
            Err(error) => bail!("{} cannot be looked at: {error}", at.display()),
        }
    }
}

fn ensure_new(folder: &Path) -> Result<()> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => bail!("{} is no folder to write to: {error}", folder.display()),
        Ok(mut entries) => {
            ensure!(entries.next().is_none(), "{} is there and not empty", folder.display());
            Ok(())
        }
    }
}

/// The path that leads from one folder to another, with `/` between its parts.
fn way(from: &Path, to: &Path) -> String {
    let both = from.components().zip(to.components()).take_while(|(from, to)| from == to).count();
    if both == 0 {
        // Another drive of Windows.
        return to.display().to_string().replace('\\', "/");
    }
    let up = from.components().skip(both).map(|_| "..".into());
    let down = to.components().skip(both).map(|part| part.as_os_str().to_string_lossy());
    up.chain(down).collect::<Vec<_>>().join("/")
}

/// Every file of a product of these names. `way` leads from its folder to Runnel's.
fn product(runnel: &Path, names: &Names, way: &str) -> Result<Files> {
    let mut template = Files::new();
    read(&runnel.join("template"), Path::new(""), &mut template)?;
    ensure!(!template.is_empty(), "there is no template");
    let lock = fs::read_to_string(runnel.join("Cargo.lock"))?;
    names.differ_from_packages(&lock)?;
    names
        .differ_from_words(template.iter().filter(|(path, _)| is_code(path)).map(|(_, t)| &**t))?;

    // From the root of a container, where the product is in a folder of it.
    let in_container = Path::new("/").join(way.trim_start_matches("../"));
    let in_container = format!("ARG RUNNEL={}", in_container.display());
    let (path, context) = (format!("path = \"{way}/"), format!("runnel={way} "));
    let written = |text: &str| {
        names
            .written(text)
            .replace("path = \"../", &path)
            .replace("runnel=.. ", &context)
            .replace("ARG RUNNEL=/", &in_container)
    };
    let mut files: Files =
        template.iter().map(|(path, text)| (path.clone(), written(text))).collect();
    for name in SHARED {
        let text = fs::read_to_string(runnel.join(name));
        files.insert(name.into(), text.with_context(|| format!("cannot read {name}"))?);
    }
    Ok(files)
}

fn is_code(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs" || extension == "proto")
}

/// Adds the texts in `root`, by their paths within it.
fn read(root: &Path, folder: &Path, files: &mut Files) -> Result<()> {
    let path = root.join(folder);
    for entry in fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))? {
        let entry = entry?;
        let relative = folder.join(entry.file_name());
        if NOT_WRITTEN
            .iter()
            .any(|name| relative.components().eq([Component::Normal(name.as_ref())]))
        {
            continue;
        }
        if entry.file_type()?.is_dir() {
            read(root, &relative, files)?;
        } else {
            let text = fs::read_to_string(entry.path());
            let text = text.with_context(|| format!("cannot read {}", relative.display()))?;
            files.insert(relative, text);
        }
    }
    Ok(())
}

/// Another name sorts and wraps otherwise. Sources that are not formatted work as well.
fn format(workspace: &Workspace, folder: &Path, files: &Files) {
    let is_rust = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let sources = files.keys().filter(is_rust).map(|path| folder.join(path));
    let rustfmt = cmd!(workspace.shell, "rustfmt --edition 2024 {sources...}").quiet();
    if let Err(error) = rustfmt.run() {
        step(format!("the sources are not formatted: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use xshell::Shell;

    use super::*;

    fn root() -> PathBuf {
        fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap()
    }

    fn workspace() -> Workspace {
        let shell = Shell::new().unwrap();
        shell.change_dir(root());
        Workspace { root: root(), target: root().join("target"), cache: root(), shell }
    }

    #[test]
    fn a_product_has_its_own_name_everywhere_and_finds_runnel() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("deeper/shop-floor");
        run(&workspace(), &folder).unwrap();
        let mut files = Files::new();
        read(&folder, Path::new(""), &mut files).unwrap();
        for (path, text) in &files {
            for name in ["my-product", "my_product", "MyProduct"] {
                assert!(!text.contains(name), "{} has {name}", path.display());
            }
        }
        assert!(files[Path::new("proto/service.proto")].contains("package shop_floor.v1;"));
        assert!(files[Path::new("Trunk.toml")].contains("/shop_floor.v1.ShopFloor/"));
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        for path in manifest.split("path = \"").skip(1).filter_map(|rest| rest.split_once('"')) {
            let manifest = folder.join(path.0).join("Cargo.toml");
            assert!(manifest.is_file(), "{}", manifest.display());
        }
        assert!(manifest.contains("/server\""));
        for name in SHARED {
            assert!(folder.join(name).is_file(), "{name}");
        }
        let again = run(&workspace(), &folder).unwrap_err().to_string();
        assert!(again.ends_with("is there and not empty"), "{again}");
    }

    /// More is not the product's, but ours.
    #[test]
    fn a_product_has_at_most_150_lines_of_rust() {
        let mut files = Files::new();
        read(&root().join("template"), Path::new(""), &mut files).unwrap();
        let rust = files.iter().filter(|(path, _)| path.extension().is_some_and(|ext| ext == "rs"));
        let lines: usize = rust.map(|(_, text)| text.lines().count()).sum();
        assert!(lines <= 150, "{lines}");
    }

    #[test]
    fn what_cannot_be_a_product_is_refused_and_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let full = dir.path().join("full");
        fs::create_dir(&full).unwrap();
        fs::write(full.join("kept"), "kept").unwrap();
        fs::write(dir.path().join("file"), "kept").unwrap();
        let inside = root().join("template/shop");
        for (folder, words) in [
            (full.clone(), "is there and not empty"),
            (dir.path().join("file"), "is no folder to write to"),
            (dir.path().join("7up"), "begins with"),
            (dir.path().join("tonic"), "is a package that Runnel is made of"),
            (dir.path().join("result"), "stands in the template"),
            (inside.clone(), "inside of Runnel's own checkout"),
            (PathBuf::from("/"), "names no folder"),
        ] {
            let error = format!("{:#}", run(&workspace(), &folder).unwrap_err());
            assert!(error.contains(words), "{}: {error}", folder.display());
        }
        assert!(!inside.exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert_eq!(fs::read_dir(full).unwrap().count(), 1);
    }

    #[test]
    fn a_way_goes_up_to_what_both_have_and_down_again() {
        let way = |from: &str, to: &str| way(Path::new(from), Path::new(to));
        assert_eq!(way("/a/shop", "/a/runnel"), "../runnel");
        assert_eq!(way("/tmp/x/shop", "/work/runnel"), "../../../work/runnel");
        assert_eq!(way("/a/b/shop", "/a"), "../..");
    }
}
