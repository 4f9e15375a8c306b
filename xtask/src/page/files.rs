//! A folder of files as a value, so that packaging is a function and its tests need no disk.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// Bytes by path; paths are relative and use `/`, as references in the page do.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Everything below `root`.
pub(super) fn read(root: &Path) -> Result<Files> {
    let mut files = Files::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        for entry in fs::read_dir(&path).with_context(|| format!("no {}", path.display()))? {
            let entry = entry?;
            let relative = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(relative);
            } else {
                let name = relative.to_str().context("a file name is not UTF-8")?;
                files.insert(name.replace('\\', "/"), fs::read(entry.path())?);
            }
        }
    }
    Ok(files)
}

/// Makes `root` hold `files` and nothing else. A file that has its bytes already is not touched, so that
/// nobody takes it for a new one.
pub(super) fn write(root: &Path, files: &Files) -> Result<()> {
    fs::create_dir_all(root)?;
    let before = read(root)?;
    for (name, bytes) in files.iter().filter(|(name, bytes)| before.get(*name) != Some(bytes)) {
        let path = root.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, bytes)?;
    }
    for name in before.keys().filter(|name| !files.contains_key(*name)) {
        fs::remove_file(root.join(name))?;
    }
    Ok(())
}

/// The folder part of a path, its `/` included.
pub(super) fn folder(path: &str) -> &str {
    path.rfind('/').map_or("", |slash| &path[..=slash])
}

/// The last part of a path.
pub(super) fn file_name(path: &str) -> &str {
    &path[folder(path).len()..]
}

/// What follows the last dot of the file name.
pub(super) fn extension(path: &str) -> &str {
    file_name(path).rsplit_once('.').map_or("", |(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn writing_leaves_exactly_the_files_given() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("old")).unwrap();
        fs::write(dir.path().join("old/stale.js"), "x").unwrap();
        fs::write(dir.path().join("kept.js"), "same").unwrap();
        let files = Files::from([
            ("kept.js".to_owned(), b"same".to_vec()),
            ("new/below/a.css".to_owned(), b"b{}".to_vec()),
        ]);
        write(dir.path(), &files).unwrap();
        assert_eq!(read(dir.path()).unwrap(), files);
    }

    #[test]
    fn a_file_with_the_same_bytes_keeps_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("dist");
        let page = |script: &[u8]| {
            Files::from([
                ("index.html".to_owned(), b"page".to_vec()),
                ("app.js".to_owned(), script.to_vec()),
            ])
        };
        write(&root, &page(b"1")).unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_hours(1);
        let names = ["index.html", "app.js"];
        for name in names {
            let file = fs::File::options().append(true).open(root.join(name)).unwrap();
            file.set_modified(long_ago).unwrap();
        }
        let untouched = || {
            names.map(|name| root.join(name).metadata().unwrap().modified().unwrap() == long_ago)
        };
        write(&root, &page(b"1")).unwrap();
        assert_eq!(untouched(), [true, true]);
        write(&root, &page(b"2")).unwrap();
        assert_eq!(untouched(), [true, false], "only what changed is written");
    }

    #[test]
    fn paths_come_apart_at_the_last_slash_and_dot() {
        assert_eq!((folder("a/b/c.d.js"), file_name("a/b/c.d.js")), ("a/b/", "c.d.js"));
        assert_eq!((folder("c.js"), file_name("c.js"), extension("x.y/c")), ("", "c.js", ""));
    }
}
