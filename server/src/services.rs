//! What is served: gRPC services, and what their descriptors say of them. Someone who starts a product
//! of their own begins here, with [`Services::add_service`].

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::Either;
use http::{Request, Response};
use tonic::{Status, body::Body, server::NamedService};
use tonic_reflection::{pb as reflection, server::Builder as ReflectionBuilder};
use tower::{
    Service, ServiceExt as _,
    util::{BoxCloneSyncService, Oneshot},
};

use crate::rpc::{
    methods::Methods,
    refusal::{Refused, refuse},
};

/// One service.
type Answering = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// A set of services, made one by one.
#[derive(Debug, Default)]
pub struct Services {
    by_name: HashMap<&'static str, Answering>,
    descriptors: Vec<&'static [u8]>,
}

/// An invalid descriptor set.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    /// It does not decode.
    #[error("a descriptor set does not decode: {0}")]
    Decode(#[from] prost::DecodeError),
    /// Reflection cannot make sense of it.
    #[error("reflection cannot serve a descriptor set: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

impl Services {
    /// No services yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves a service too.
    #[must_use]
    pub fn add_service<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.by_name.insert(S::NAME, BoxCloneSyncService::new(service));
        self
    }

    /// Tells of the services in an encoded `google.protobuf.FileDescriptorSet`: what kind each method
    /// is, and what reflection says. A service that nobody describes is served all the same, but
    /// without what depends on a method's kind.
    #[must_use]
    pub fn describe(mut self, file_descriptor_set: &'static [u8]) -> Self {
        self.descriptors.push(file_descriptor_set);
        self
    }

    /// Adds both versions of reflection, each listing both: older tools know only v1alpha.
    pub(crate) fn with_reflection(self) -> Result<Self, DescriptorError> {
        let described = self
            .describe(reflection::v1::FILE_DESCRIPTOR_SET)
            .describe(reflection::v1alpha::FILE_DESCRIPTOR_SET);
        let builder = || {
            described.descriptors.iter().fold(
                ReflectionBuilder::configure().include_reflection_service(false),
                |builder, set| builder.register_encoded_file_descriptor_set(set),
            )
        };
        let (v1, v1alpha) = (builder().build_v1()?, builder().build_v1alpha()?);
        Ok(described.add_service(v1).add_service(v1alpha))
    }

    /// The names of the services, such as `api.Api`.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.by_name.keys().copied().collect()
    }

    /// What kind each described method is.
    pub(crate) fn methods(&self) -> Result<Methods, DescriptorError> {
        Ok(Methods::from_descriptors(&self.descriptors)?)
    }

    /// One service that passes each call to the service it is for.
    pub(crate) fn into_dispatch(self) -> Dispatch {
        Dispatch(Arc::new(self.by_name))
    }
}

/// Gives each call to its service. tonic's own `Routes` is an axum router: it looks for parameters in
/// paths that have none, and copies what it finds into each request.
#[derive(Clone, Debug)]
pub struct Dispatch(Arc<HashMap<&'static str, Answering>>);

impl Service<Request<Body>> for Dispatch {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<Oneshot<Answering, Request<Body>>, Refused<Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match service_name(request.uri().path()).and_then(|name| self.0.get(name)) {
            Some(service) => Either::Left(service.clone().oneshot(request)),
            None => Either::Right(refuse(&Status::unimplemented("no such service is served here"))),
        }
    }
}

/// The service in the path of a call: `api.Api` in `/api.Api/getAll`.
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests>
pub(crate) fn service_name(path: &str) -> Option<&str> {
    path.strip_prefix('/')?.split_once('/').map(|(name, _method)| name)
}
