//! Which files there are within a folder, and whether one is still the same.

use std::{
    fs::{self, Metadata},
    io,
    path::{Component, Path, PathBuf},
    time::SystemTime,
};

/// Where the file of this name is: a regular file within the folder, also where links lead. Any other is
/// as if it were not there. `name` has its parts between `/`.
pub(super) fn inside(root: &Path, name: &str) -> io::Result<PathBuf> {
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    // Resolved each time, because deployments switch links.
    let root = fs::canonicalize(root)?;
    let mut path = root.clone();
    for part in name.split('/') {
        // Whatever this system takes for more than a name.
        let mut components = Path::new(part).components();
        match (components.next(), components.next()) {
            (Some(Component::Normal(_)), None) => path.push(part),
            _ => return Err(missing()),
        }
    }
    let path = fs::canonicalize(path)?;
    // What is no file is never opened: a pipe would wait for somebody to write.
    let is_served = path.starts_with(&root) && fs::metadata(&path)?.is_file();
    if is_served { Ok(path) } else { Err(missing()) }
}

/// Tells one state of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) bytes: u64,
    modified: SystemTime,
    number: u64,
}

impl Version {
    /// None if it is no regular file, or if the system does not tell when it was modified.
    pub(super) fn of(metadata: &Metadata) -> Option<Self> {
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let number = 0;
        let modified = metadata.modified().ok()?;
        metadata.is_file().then_some(Self { bytes: metadata.len(), modified, number })
    }

    pub(super) fn is_not_older_than(&self, other: &Self) -> bool {
        self.modified >= other.modified
    }

    /// Whether a later change is sure to give it another time: file systems count in steps of up to two
    /// seconds.
    pub(super) fn is_settled(&self) -> bool {
        const LONGEST_STEP_SECONDS: u64 = 2;
        self.modified.elapsed().is_ok_and(|age| age.as_secs() > LONGEST_STEP_SECONDS)
    }

    /// What stands for a file that is too large to be read for a tag.
    pub(super) fn tag(&self) -> String {
        let since = self.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        format!("{:x}-{:x}-{:x}", self.bytes, since.as_nanos(), self.number)
    }
}
