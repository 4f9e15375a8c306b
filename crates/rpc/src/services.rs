//! What is served: gRPC services, and what their descriptors say of them.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::Either;
use http::{Request, Response};
use tonic::{Status, body::Body, server::NamedService};
use tonic_health::{ServingStatus, server::HealthReporter};
use tonic_reflection::{pb as reflection, server::Builder as ReflectionBuilder};
use tower::{
    BoxError, Service, ServiceExt as _,
    util::{BoxCloneSyncService, Oneshot},
};

use super::{
    descriptor_error::DescriptorError,
    methods::Methods,
    refusal::{Refused, refuse},
};

/// One service.
type Answering = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// A set of services, made one by one.
///
/// ```
/// use runnel_rpc::{Layers, Services};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), runnel_rpc::DescriptorError> {
/// // With services of your own: Services::new().add_service(greeter).describe(FILE_DESCRIPTOR_SET)
/// let (services, health) = Services::new().with_health().await;
/// let calls = Layers::new().around(services.with_reflection()?)?;
///
/// // When the server begins to end:
/// health.set_not_serving().await;
/// # let _ = calls;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Services {
    by_name: HashMap<&'static str, Answering>,
    descriptors: Vec<&'static [u8]>,
}

impl Services {
    /// No services yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves a service too: one that tonic generated, or one with an interceptor or a layer around it.
    #[must_use]
    pub fn add_service<S, B>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        // A body that is tonic's own stays as it is.
        let service = service.map_response(|response: Response<B>| response.map(Body::new));
        self.by_name.insert(S::NAME, BoxCloneSyncService::new(service));
        self
    }

    /// Describes services by an encoded `google.protobuf.FileDescriptorSet`: what kind each method
    /// is, and what reflection says. A service that is not described is served all the same, but
    /// without what depends on a method's kind.
    #[must_use]
    pub fn describe(mut self, file_descriptor_set: &'static [u8]) -> Self {
        self.descriptors.push(file_descriptor_set);
        self
    }

    /// Adds `grpc.health.v1.Health`, which says of the server and of each of the services that were added so
    /// far that it is SERVING, until the handle says otherwise.
    pub async fn with_health(self) -> (Self, Health) {
        let (reporter, service) = tonic_health::server::health_reporter();
        // The empty name is the server as a whole.
        let names = self.names().into_iter().chain([""]).collect();
        let health = Health { reporter, names };
        health.set_serving().await;
        let services = self.add_service(service).describe(tonic_health::pb::FILE_DESCRIPTOR_SET);
        (services, health)
    }

    /// Adds reflection of all that was described so far. Both of its versions are there, each listing both:
    /// older tools know only v1alpha.
    ///
    /// # Errors
    /// If reflection cannot serve a descriptor set, because it is invalid.
    pub fn with_reflection(self) -> Result<Self, DescriptorError> {
        let described = self
            .describe(reflection::v1::FILE_DESCRIPTOR_SET)
            .describe(reflection::v1alpha::FILE_DESCRIPTOR_SET);
        let builder = || {
            described.descriptors.iter().fold(
                ReflectionBuilder::configure().include_reflection_service(false),
                |builder, set| builder.register_encoded_file_descriptor_set(set),
            )
        };
        let v1 = builder().build_v1().map_err(DescriptorError::reflection)?;
        let v1alpha = builder().build_v1alpha().map_err(DescriptorError::reflection)?;
        Ok(described.add_service(v1).add_service(v1alpha))
    }

    /// The names of the services, such as `api.Api`.
    pub fn names(&self) -> Vec<&'static str> {
        self.by_name.keys().copied().collect()
    }

    /// What kind each described method is.
    ///
    /// # Errors
    /// If a descriptor set is invalid.
    pub fn methods(&self) -> Result<Methods, DescriptorError> {
        Methods::from_descriptors(&self.descriptors)
    }

    /// One service that passes each call to the service it is for.
    pub fn into_dispatch(self) -> Dispatch {
        Dispatch(Arc::new(self.by_name))
    }
}

/// Says of services whether they are serving. A clone says it of the same.
#[derive(Clone, Debug)]
pub struct Health {
    reporter: HealthReporter,
    names: Arc<[&'static str]>,
}

impl Health {
    /// All services are SERVING.
    pub async fn set_serving(&self) {
        self.set(ServingStatus::Serving).await;
    }

    /// All services are NOT_SERVING: clients that balance their calls go elsewhere.
    pub async fn set_not_serving(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    async fn set(&self, status: ServingStatus) {
        for name in &*self.names {
            self.reporter.set_service_status(name, status).await;
        }
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
pub fn service_name(path: &str) -> Option<&str> {
    path.strip_prefix('/')?.split_once('/').map(|(name, _method)| name)
}
