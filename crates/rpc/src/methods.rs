//! What kind of method a call is for: how many messages go either way. Some rules hold for one kind
//! only, and the wire does not say it; the descriptors do.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use prost::Message as _;

use super::{
    descriptor_error::DescriptorError,
    descriptors::{FileDescriptor, FileDescriptorSet},
};

/// The kind of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodKind {
    /// Whether the client sends any number of messages, rather than one.
    pub client_streaming: bool,
    /// Whether the server sends any number of messages, rather than one.
    pub server_streaming: bool,
}

impl MethodKind {
    /// One message each way.
    pub const fn is_unary(self) -> bool {
        !self.client_streaming && !self.server_streaming
    }
}

/// A method that a descriptor describes.
#[derive(Clone, Debug)]
pub(super) struct Method {
    path: Arc<str>,
    kind: MethodKind,
}

impl Method {
    /// Such as `/api.Api/getAll`.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) const fn kind(&self) -> MethodKind {
        self.kind
    }
}

/// The kinds of methods, by path: `/api.Api/getAll`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Methods(HashMap<Arc<str>, MethodKind>);

impl Methods {
    /// The methods that encoded `google.protobuf.FileDescriptorSet`s describe.
    ///
    /// # Errors
    /// If one does not decode.
    pub fn from_descriptors(sets: &[&[u8]]) -> Result<Self, DescriptorError> {
        let mut methods = Self::default();
        for set in sets {
            let set = FileDescriptorSet::decode(*set).map_err(DescriptorError::decode)?;
            for file in set.file {
                for (_, path, kind) in methods_of(&file) {
                    methods.insert(path, kind);
                }
            }
        }
        Ok(methods)
    }

    /// Knows one more.
    pub fn insert(&mut self, path: String, kind: MethodKind) {
        self.0.insert(path.into(), kind);
    }

    /// What kind the method at this path is.
    pub fn get(&self, path: &str) -> Option<MethodKind> {
        self.0.get(path).copied()
    }

    /// Each method's path and kind.
    pub fn iter(&self) -> impl Iterator<Item = (&str, MethodKind)> {
        self.0.iter().map(|(path, kind)| (&**path, *kind))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> FromIterator<(&'a str, MethodKind)> for Methods {
    fn from_iter<T: IntoIterator<Item = (&'a str, MethodKind)>>(methods: T) -> Self {
        Self(methods.into_iter().map(|(path, kind)| (path.into(), kind)).collect())
    }
}

/// The methods that one file describes: the full name of its service, its path, and its kind.
#[doc(hidden)]
pub fn methods_of(file: &FileDescriptor) -> impl Iterator<Item = (String, String, MethodKind)> {
    file.service.iter().flat_map(|service| {
        let service_name = match file.package.as_str() {
            "" => service.name.clone(),
            package => format!("{package}.{}", service.name),
        };
        service.method.iter().map(move |method| {
            let kind = MethodKind {
                client_streaming: method.client_streaming,
                server_streaming: method.server_streaming,
            };
            (service_name.clone(), format!("/{service_name}/{}", method.name), kind)
        })
    })
}

/// The methods that are known at the moment. Clones share them; the code that learns of more replaces them.
#[derive(Clone, Debug, Default)]
pub struct KnownMethods(Arc<ArcSwap<Methods>>);

impl KnownMethods {
    /// From now on these are known.
    pub fn replace(&self, methods: Methods) {
        self.0.store(Arc::new(methods));
    }

    /// What is known now.
    pub fn now(&self) -> Arc<Methods> {
        self.0.load_full()
    }

    /// The method at this path, if it is known.
    pub(super) fn method(&self, path: &str) -> Option<Method> {
        let known = self.0.load();
        let (path, kind) = known.0.get_key_value(path)?;
        Some(Method { path: Arc::clone(path), kind: *kind })
    }
}

impl From<Methods> for KnownMethods {
    fn from(methods: Methods) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(methods)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptors_tell_unary_methods_from_streams() {
        let methods = Methods::from_descriptors(&[
            runnel_protos::DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        ])
        .unwrap();
        let kind = |path: &str| methods.get(path);
        let (one, many) = (false, true);
        let is = |client_streaming, server_streaming| {
            Some(MethodKind { client_streaming, server_streaming })
        };
        assert_eq!(kind("/api.Api/getAll"), is(one, one));
        assert_eq!(kind("/api.Api/getStream"), is(one, many));
        let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
        assert_eq!(kind(reflection), is(many, many));
        assert_eq!(kind("/api.Api/noSuchMethod"), None);
    }

    #[test]
    fn what_is_no_descriptor_set_is_an_error() {
        assert!(Methods::from_descriptors(&[b"\xff"]).is_err());
    }
}
