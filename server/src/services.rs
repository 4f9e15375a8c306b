//! What is served: gRPC services, and what their descriptors say of them. Someone who starts a product
//! of their own begins here, with [`Services::add_service`].

use std::convert::Infallible;

use tonic::{body::Body, server::NamedService, service::Routes};
use tonic_reflection::{pb as reflection, server::Builder as ReflectionBuilder};
use tower::Service;

use crate::rpc::methods::Methods;

/// A set of services, made one by one.
#[derive(Debug, Default)]
pub struct Services {
    routes: Routes,
    names: Vec<&'static str>,
    descriptors: Vec<&'static [u8]>,
}

/// A descriptor set that is none.
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
        S: Service<http::Request<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.routes = self.routes.add_service(service);
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
    pub(crate) fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// What kind each described method is.
    pub(crate) fn methods(&self) -> Result<Methods, DescriptorError> {
        Ok(Methods::from_descriptors(&self.descriptors)?)
    }

    /// The services themselves.
    pub(crate) fn into_routes(self) -> Routes {
        self.routes
    }
}
