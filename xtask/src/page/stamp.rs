//! Whether the page in `dist/` is the one today's sources would give: a hash of what went in and
//! one of what came out, kept in the target folder.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use sha2::{Digest as _, Sha256};

/// Whatever feeds the page; what is missing (`rust-toolchain.toml` in the container) counts as
/// such. The packaging itself is one of the inputs.
const INPUTS: [&str; 13] = [
    ".cargo/config.toml",
    "Cargo.lock",
    "Cargo.toml",
    "Trunk.toml",
    "crates/client/Cargo.toml",
    "crates/client/src",
    "crates/wire/Cargo.toml",
    "crates/wire/src",
    "index.html",
    "protos",
    "rust-toolchain.toml",
    "web",
    "xtask/src/page",
];

/// The hash of the sources, the tools and the flags.
pub(super) fn inputs(root: &Path, versions: &str) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(versions);
    for flags in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        hash.update(format!("\n{flags}={:?}", env::var_os(flags)));
    }
    for input in INPUTS {
        add(&mut hash, root, &PathBuf::from(input))?;
    }
    Ok(format!("{:x}", hash.finalize()))
}

/// Whether `stamp` was written for these inputs and for what `dist` now holds.
pub(super) fn matches(stamp: &Path, inputs: &str, dist: &Path) -> bool {
    let written = fs::read_to_string(stamp);
    let now = content(inputs, dist);
    matches!((written, now), (Ok(written), Ok(now)) if written == now)
}

/// Remembers that `dist` is the page of these inputs.
pub(super) fn write(stamp: &Path, inputs: &str, dist: &Path) -> Result<()> {
    if let Some(folder) = stamp.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::write(stamp, content(inputs, dist)?)?)
}

fn content(inputs: &str, dist: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    add(&mut hash, dist, Path::new(""))?;
    Ok(format!("inputs {inputs}\ndist {:x}\n", hash.finalize()))
}

/// Adds a file, or a folder with all that is in it, by name, length and content.
fn add(hash: &mut Sha256, root: &Path, relative: &Path) -> Result<()> {
    let path = root.join(relative);
    if path.is_dir() {
        let mut entries = fs::read_dir(&path)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            add(hash, root, &relative.join(entry.file_name()))?;
        }
    } else if path.is_file() {
        let bytes = fs::read(&path)?;
        hash.update(format!("\n{} {}\n", relative.display(), bytes.len()));
        hash.update(bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_holds_until_a_source_a_tool_or_the_page_changes() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let (dist, stamp) = (root.join("dist"), root.join("target/page.stamp"));
        fs::create_dir_all(root.join("web/src")).unwrap();
        fs::create_dir(&dist).unwrap();
        fs::write(root.join("web/src/main.rs"), "1").unwrap();
        fs::write(dist.join("index.html"), "page").unwrap();
        let holds = || matches(&stamp, &inputs(root, "trunk 1").unwrap(), &dist);

        assert!(!holds(), "never built");
        write(&stamp, &inputs(root, "trunk 1").unwrap(), &dist).unwrap();
        assert!(holds());
        assert!(!matches(&stamp, &inputs(root, "trunk 2").unwrap(), &dist), "another tool");
        fs::write(root.join("README.md"), "not of the page").unwrap();
        assert!(holds());
        fs::write(root.join("web/src/main.rs"), "2").unwrap();
        assert!(!holds(), "a source changed");
        fs::write(root.join("web/src/main.rs"), "1").unwrap();
        assert!(holds());
        fs::write(dist.join("index.html"), "trunk serve was here").unwrap();
        assert!(!holds(), "the page was overwritten");
    }
}
