//! What kind of method a call is for: how many messages go either way. Some rules hold for one kind
//! only, and the wire does not say it; the descriptors do.

use std::{
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll},
};

use http::Request;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tower::{Layer, Service};

/// The kind of a method; found in the request's extensions, unless nobody described the method.
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

/// The kinds of all methods that are known, by path: `/api.Api/getAll`.
#[derive(Clone, Debug, Default)]
pub struct Methods(HashMap<String, MethodKind>);

impl Methods {
    /// The methods that encoded `google.protobuf.FileDescriptorSet`s describe.
    pub fn from_descriptors(sets: &[&[u8]]) -> Result<Self, prost::DecodeError> {
        let mut methods = HashMap::new();
        for set in sets {
            for file in FileDescriptorSet::decode(*set)?.file {
                for service in &file.service {
                    let service_name = match file.package() {
                        "" => service.name().to_owned(),
                        package => format!("{package}.{}", service.name()),
                    };
                    for method in &service.method {
                        let kind = MethodKind {
                            client_streaming: method.client_streaming(),
                            server_streaming: method.server_streaming(),
                        };
                        methods.insert(format!("/{service_name}/{}", method.name()), kind);
                    }
                }
            }
        }
        Ok(Self(methods))
    }

    /// Each method's path and kind.
    pub fn iter(&self) -> impl Iterator<Item = (&str, MethodKind)> {
        self.0.iter().map(|(path, kind)| (path.as_str(), *kind))
    }
}

/// Puts the [`MethodKind`] into each request's extensions.
#[derive(Clone, Debug)]
pub struct MethodsLayer(Arc<Methods>);

impl MethodsLayer {
    /// Looks methods up in `methods`.
    pub fn new(methods: Methods) -> Self {
        Self(Arc::new(methods))
    }
}

impl<S> Layer<S> for MethodsLayer {
    type Service = WithMethodKind<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WithMethodKind { inner, methods: Arc::clone(&self.0) }
    }
}

/// The service of [`MethodsLayer`].
#[derive(Clone, Debug)]
pub struct WithMethodKind<S> {
    inner: S,
    methods: Arc<Methods>,
}

impl<S, B> Service<Request<B>> for WithMethodKind<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        if let Some(kind) = self.methods.0.get(request.uri().path()).copied() {
            request.extensions_mut().insert(kind);
        }
        self.inner.call(request)
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
        let kind = |path: &str| methods.0.get(path).copied();
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
