//! The page in a folder on disk, which may change while it is served.
//!
//! Every request looks at the folder, on a thread for blocking work. What is known of a file (its hash, its
//! scripts, its compressed form) is kept in [`kept`], and is valid as long as the file has the same length,
//! time and number. Bytes that are not kept are read while they are sent.

mod kept;
mod read;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use self::{
    kept::{Kept, Learnt},
    read::{Version, inside},
};
use crate::{
    body::Body,
    file::{Answer, Codings, File, PRECOMPRESSED, carries_hash},
    name::{INDEX, Name},
};

/// Why a folder cannot be served as a page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// There is no folder of that name.
    #[error("there is no folder {}", .0.display())]
    Missing(PathBuf),
    /// It is a file or something else that is not a folder.
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// The folder has no `index.html`, or only a link that leads out of the folder.
    #[error("there is no index.html in {}; name the folder of a built page", .0.display())]
    NoIndex(PathBuf),
    /// The operating system does not allow it to be read.
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable {
        /// The folder, or the file in it.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Folder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    kept: Kept,
}

impl Folder {
    pub(crate) fn new(root: &Path) -> Self {
        // Wherever the process goes to. It is not resolved: a link may be made to lead to another
        // folder while the page is served.
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        Self(Arc::new(Inner { root, kept: Kept::default() }))
    }

    /// Whether it can be served as it is now.
    pub(crate) fn check(&self) -> Result<(), FolderError> {
        let root = &self.0.root;
        let unreadable = |path: &Path, error| FolderError::Unreadable { path: path.into(), error };
        match fs::metadata(root) {
            Ok(found) if found.is_dir() => (),
            Ok(_) => return Err(FolderError::NotAFolder(root.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(FolderError::Missing(root.clone()));
            }
            Err(error) => return Err(unreadable(root, error)),
        }
        match inside(root, INDEX).map(fs::File::open) {
            Ok(Ok(_)) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(FolderError::NoIndex(root.clone()))
            }
            Ok(Err(error)) | Err(error) => Err(unreadable(&root.join(INDEX), error)),
        }
    }

    pub(crate) async fn answer(
        &self,
        name: Option<Name>,
        codings: Codings,
    ) -> (Option<Answer>, String) {
        let folder = Arc::clone(&self.0);
        let looked = tokio::task::spawn_blocking(move || {
            let answer = name.and_then(|name| folder.answer(&name, codings));
            (answer, folder.index_scripts())
        });
        // Fails only when the runtime ends.
        looked.await.unwrap_or_default()
    }
}

impl Inner {
    fn answer(&self, name: &Name, codings: Codings) -> Option<Answer> {
        if let Some(file) = self.file(&name.file, codings) {
            return Some(Answer { file, is_index: false });
        }
        let file = name.is_place.then(|| self.file(INDEX, codings)).flatten()?;
        Some(Answer { file, is_index: true })
    }

    fn index_scripts(&self) -> String {
        let index = inside(&self.root, INDEX).ok();
        let learnt = index.and_then(|path| Some(self.open(INDEX, &path)?.2));
        learnt.and_then(|learnt| learnt.scripts.clone()).unwrap_or_default()
    }

    /// The file of this name, if it exists and may be served.
    fn file(&self, name: &str, codings: Codings) -> Option<File> {
        if self.is_form_of_another(name) {
            return None;
        }
        let path = inside(&self.root, name).ok()?;
        let (plain, version, learnt) = self.open(name, &path)?;
        let is_immutable = carries_hash(name, &learnt.tag);
        let scripts = learnt.scripts.clone();
        for (extension, coding) in codings.taken() {
            let form_name = format!("{name}.{extension}");
            let form = inside(&self.root, &form_name).ok();
            let form = form.and_then(|path| self.open(&form_name, &path));
            // One that is older is of an older build.
            if let Some((form, of_form, learnt)) =
                form.filter(|(_, of_form, _)| of_form.is_not_older_than(&version))
            {
                let body = learnt.body(form, &of_form);
                let (coding, tag) = (Some(coding), learnt.tag.clone());
                return Some(File { body, coding, tag, is_immutable, scripts });
            }
            if let Some(gzip) = learnt.gzip.as_ref().filter(|_| coding == "gzip") {
                let body = Body::whole(gzip.clone());
                let tag = format!("{}-gzip", learnt.tag);
                return Some(File { body, coding: Some(coding), tag, is_immutable, scripts });
            }
        }
        let body = learnt.body(plain, &version);
        Some(File { body, coding: None, tag: learnt.tag.clone(), is_immutable, scripts })
    }

    /// Opens a file, and says what is known of it.
    fn open(&self, name: &str, path: &Path) -> Option<(fs::File, Version, Arc<Learnt>)> {
        let mut file = fs::File::open(path).ok()?;
        let version = Version::of(&file.metadata().ok()?)?;
        let learnt = self.kept.learnt(name, path, &mut file, &version).ok()?;
        Some((file, version, learnt))
    }

    /// A compressed form is not a file of its own.
    fn is_form_of_another(&self, name: &str) -> bool {
        PRECOMPRESSED.iter().any(|(extension, _)| {
            let plain = name.strip_suffix(extension).and_then(|stem| stem.strip_suffix('.'));
            plain.is_some_and(|plain| inside(&self.root, plain).is_ok())
        })
    }
}
