//! Files that are in the process, and stay as they are.

use std::{borrow::Cow, collections::HashMap};

use bytes::Bytes;

use crate::{
    body::Body,
    compression::gzip,
    file::{Answer, Codings, File, PRECOMPRESSED, carries_hash, hash},
    media_type::{is_compressible, is_html},
    name::{INDEX, Name},
    scripts,
};

#[derive(Debug)]
pub(crate) struct Memory(HashMap<String, Stored>);

#[derive(Debug)]
struct Stored {
    bytes: Bytes,
    hash: String,
    scripts: Option<String>,
}

impl Memory {
    pub(crate) fn new(files: impl IntoIterator<Item = (String, Cow<'static, [u8]>)>) -> Self {
        let mut files: HashMap<_, _> = files.into_iter().collect();
        let uncompressed = files.iter().filter(|(name, _)| {
            let has_form = |(extension, _)| files.contains_key(&format!("{name}.{extension}"));
            is_compressible(name) && !PRECOMPRESSED.into_iter().any(has_form)
        });
        let compressed = |(name, bytes): (&String, &Cow<'static, [u8]>)| {
            Some((format!("{name}.gz"), Cow::from(gzip(bytes)?)))
        };
        let compressed: Vec<_> = uncompressed.filter_map(compressed).collect();
        files.extend(compressed);
        let stored = |(name, bytes): (String, Cow<'static, [u8]>)| {
            let bytes = match bytes {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => Bytes::from(bytes),
            };
            let text = is_html(&name).then(|| String::from_utf8_lossy(&bytes));
            let scripts = text.map(|html| scripts::sources(&html));
            let stored = Stored { hash: hash(&bytes), scripts, bytes };
            (name, stored)
        };
        Self(files.into_iter().map(stored).collect())
    }

    pub(crate) fn answer(&self, name: &Name, codings: Codings) -> Option<Answer> {
        if let Some(file) = self.file(&name.file, codings) {
            return Some(Answer { file, is_index: false });
        }
        let file = name.is_place.then(|| self.file(INDEX, codings)).flatten()?;
        Some(Answer { file, is_index: true })
    }

    pub(crate) fn index_scripts(&self) -> String {
        self.0.get(INDEX).and_then(|index| index.scripts.clone()).unwrap_or_default()
    }

    fn file(&self, name: &str, codings: Codings) -> Option<File> {
        let plain = self.0.get(name).filter(|_| !self.is_form_of_another(name))?;
        let (coding, stored) = codings
            .taken()
            .find_map(|(extension, coding)| {
                Some((Some(coding), self.0.get(&format!("{name}.{extension}"))?))
            })
            .unwrap_or((None, plain));
        Some(File {
            body: Body::whole(stored.bytes.clone()),
            coding,
            tag: stored.hash.clone(),
            is_immutable: carries_hash(name, &plain.hash),
            scripts: plain.scripts.clone(),
        })
    }

    /// A compressed form is not a file of its own.
    fn is_form_of_another(&self, name: &str) -> bool {
        PRECOMPRESSED.iter().any(|(extension, _)| {
            let plain = name.strip_suffix(extension).and_then(|stem| stem.strip_suffix('.'));
            plain.is_some_and(|plain| self.0.contains_key(plain))
        })
    }
}
