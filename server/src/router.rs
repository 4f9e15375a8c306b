//! Who answers: an RPC goes through [`crate::rpc`]'s layers to a service, anything else to the page.

use std::convert::Infallible;

use axum::{Router, body::Body, extract::Request};
use http::{HeaderMap, header};
use runnel_protos::api::api_server::ApiServer;
use tonic::{codec::CompressionEncoding, server::NamedService, service::Routes};
use tonic_reflection::pb as reflection;
use tower::{Service, ServiceExt as _};

use crate::{api::Api, rpc, ui};

/// The whole of what the public port answers.
pub(crate) fn router<H>(health: H) -> Router
where
    H: Service<http::Request<tonic::body::Body>, Error = Infallible>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    H::Response: axum::response::IntoResponse,
    H::Future: Send + 'static,
{
    let api = ApiServer::new(Api).accept_compressed(CompressionEncoding::Gzip);
    let mut services = Services::default();
    services.add(api);
    services.add(health);
    services.add_reflection();
    services.into_router()
}

/// gRPC services, and the paths that belong to them.
#[derive(Default)]
struct Services {
    routes: Routes,
    names: Vec<&'static str>,
}

impl Services {
    fn add<S>(&mut self, service: S)
    where
        S: Service<http::Request<tonic::body::Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.routes = std::mem::take(&mut self.routes).add_service(service);
    }

    /// Both versions of reflection, each listing both: older tools know only v1alpha.
    fn add_reflection(&mut self) {
        let describe = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(runnel_protos::DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(reflection::v1::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(reflection::v1alpha::FILE_DESCRIPTOR_SET)
                .include_reflection_service(false)
        };
        // The descriptors are made at build time, and a test lists what reflection says of them.
        if let (Ok(v1), Ok(v1alpha)) = (describe().build_v1(), describe().build_v1alpha()) {
            self.add(v1);
            self.add(v1alpha);
        }
    }

    /// A path of a service is an RPC whatever its content type, so that a wrong one is told so. Any
    /// other path is an RPC if it says it is: an unknown method must be UNIMPLEMENTED, never a page.
    fn into_router(self) -> Router {
        let rpc = rpc::layers(self.routes);
        let mut router = Router::new();
        for name in self.names {
            router = router.route_service(&format!("/{name}/{{*method}}"), rpc.clone());
        }
        router.fallback(async move |request: Request| {
            if is_grpc(request.headers()) {
                rpc.oneshot(request).await.map(|response| response.map(Body::new))
            } else {
                Ok(ui::respond(&request))
            }
        })
    }
}

/// Whether a request calls itself gRPC or gRPC-Web, of whatever subtype.
fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|content_type| {
        content_type
            .as_bytes()
            .get(..rpc::CONTENT_TYPE_PREFIX.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(rpc::CONTENT_TYPE_PREFIX))
    })
}
