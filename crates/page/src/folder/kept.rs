//! What is kept of files, within bounds: it is learnt once for each version of a file.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::read::Version;
use crate::{
    body::Body,
    compression::gzip,
    file::hash,
    media_type::{is_compressible, is_html},
    scripts,
};

/// A larger file is not read before it is sent: it has a tag of its length and time, and is never compressed
/// here.
const LARGEST_READ_BYTES: u64 = 16 * 1024 * 1024;

/// How many bytes of files are in memory at once, kept or on their way to clients. What is more is read
/// as clients take it.
const MOST_KIBIBYTES: u32 = 64 * 1024;

/// Files that something is kept of.
const MOST_FILES: usize = 4096;

#[derive(Debug)]
pub(super) struct Kept {
    files: Mutex<HashMap<PathBuf, (Version, Arc<Learnt>)>>,
    /// Held while a file is read and compressed, so that one at a time takes memory for that.
    reads: Mutex<()>,
    room: Arc<Semaphore>,
}

impl Default for Kept {
    fn default() -> Self {
        let room = Arc::new(Semaphore::new(MOST_KIBIBYTES as usize));
        Self { files: Mutex::default(), reads: Mutex::default(), room }
    }
}

/// What is known of a version of a file.
#[derive(Debug)]
pub(super) struct Learnt {
    /// The beginning of its hash; of a large file something else that stands for it.
    pub(super) tag: String,
    /// The sources of the scripts in it, if it is HTML.
    pub(super) scripts: Option<String>,
    /// Its bytes, if they are kept.
    bytes: Option<Bytes>,
    /// The same compressed, if that makes them fewer.
    pub(super) gzip: Option<Bytes>,
}

impl Learnt {
    /// The bytes of the file, read from `file` if they are not kept.
    pub(super) fn body(&self, file: fs::File, version: &Version) -> Body {
        match &self.bytes {
            Some(bytes) => Body::whole(bytes.clone()),
            None => Body::file(file, version.bytes),
        }
    }
}

impl Kept {
    /// What is known of this version of an open file. Leaves `file` at its beginning.
    pub(super) fn learnt(
        &self,
        name: &str,
        path: &Path,
        file: &mut fs::File,
        version: &Version,
    ) -> io::Result<Arc<Learnt>> {
        if version.bytes > LARGEST_READ_BYTES {
            let (tag, scripts, bytes, gzip) = (version.tag(), None, None, None);
            return Ok(Arc::new(Learnt { tag, scripts, bytes, gzip }));
        }
        if let Some(known) = self.known(path, version) {
            return Ok(known);
        }
        let _one_at_a_time = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = self.known(path, version) {
            return Ok(known);
        }
        let learnt = Arc::new(self.learn(name, file)?);
        io::Seek::rewind(file)?;
        let is_same = Version::of(&file.metadata()?).as_ref() == Some(version);
        if is_same && version.is_settled() {
            let mut files = self.files();
            if files.len() >= MOST_FILES {
                files.clear();
            }
            files.insert(path.to_owned(), (version.clone(), Arc::clone(&learnt)));
        }
        Ok(learnt)
    }

    fn known(&self, path: &Path, version: &Version) -> Option<Arc<Learnt>> {
        let files = self.files();
        files.get(path).filter(|(of, _)| of == version).map(|(_, learnt)| Arc::clone(learnt))
    }

    fn files(&self) -> MutexGuard<'_, HashMap<PathBuf, (Version, Arc<Learnt>)>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, name: &str, file: &mut fs::File) -> io::Result<Learnt> {
        let mut bytes = Vec::new();
        // It may grow meanwhile.
        file.take(LARGEST_READ_BYTES).read_to_end(&mut bytes)?;
        let tag = hash(&bytes);
        let scripts = is_html(name).then(|| scripts::sources(&String::from_utf8_lossy(&bytes)));
        if !is_compressible(name) {
            return Ok(Learnt { tag, scripts, bytes: None, gzip: None });
        }
        let gzip = gzip(&bytes).and_then(|gzip| self.held(gzip));
        Ok(Learnt { tag, scripts, bytes: self.held(bytes), gzip })
    }

    /// Bytes that count as long as they are in memory; None if there are too many.
    fn held(&self, bytes: Vec<u8>) -> Option<Bytes> {
        let kibibytes = u32::try_from(bytes.len().div_ceil(1024)).ok()?;
        let room = || Arc::clone(&self.room).try_acquire_many_owned(kibibytes).ok();
        let permit = room().or_else(|| {
            // Whatever was kept goes, and is learnt again when it is asked for.
            self.files().clear();
            room()
        })?;
        Some(Bytes::from_owner(Held { bytes, _permit: permit }))
    }
}

struct Held {
    bytes: Vec<u8>,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
