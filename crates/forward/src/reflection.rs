//! Asks a backend which methods it has, through `grpc.reflection.v1` or, where there is only that, `v1alpha`: so
//! that limits for one kind of method hold for forwarded calls, and metrics name the methods.
//!
//! A backend may be enormous, or lie: its description is bounded in time, bytes, number and length. A method that
//! it does not describe has no kind.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use http::uri::PathAndQuery;
use prost::Message as _;
use runnel_rpc::{
    descriptors::FileDescriptor,
    methods::{MethodKind, Methods, methods_of},
};
use tokio::time::{sleep, timeout};
use tonic::{Code, Status, Streaming, client::Grpc};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, ServerReflectionResponse, server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
};

use super::{endpoint::Endpoint, probe::Probe};

/// Newest first. Their messages are the same on the wire.
const VERSIONS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// When a backend is asked again that was not able to answer.
const RETRY_PAUSE: Duration = Duration::from_mins(1);

/// How many of a backend's services are asked for.
const MAX_SERVICES: usize = 1000;

/// How many methods are known, of all backends.
const MAX_METHODS: usize = 1000;

/// The longest path of a method, in bytes. It becomes a label.
const MAX_PATH_BYTES: usize = 256;

/// All that a backend may say, in bytes of descriptors: each service comes with what it imports.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Asks whenever the backend was connected to anew.
pub(super) async fn watch(endpoint: Arc<Endpoint>) {
    let mut connects = endpoint.connects();
    let mut seen = 0;
    loop {
        match connects.wait_for(|count| *count != seen).await {
            Ok(count) => seen = *count,
            // The endpoint, which is held here, would have to be gone.
            Err(_) => return,
        }
        while ask_and_tell(&endpoint).await.is_err() {
            tokio::select! {
                () = sleep(RETRY_PAUSE) => {}
                _ = connects.wait_for(|count| *count != seen) => break,
            }
        }
    }
}

/// An Err says that it may know more later.
async fn ask_and_tell(endpoint: &Arc<Endpoint>) -> Result<(), ()> {
    let late = |_| Err(Status::deadline_exceeded(format!("no answer within {PATIENCE:?}")));
    match timeout(PATIENCE, ask(endpoint)).await.unwrap_or_else(late) {
        Ok(methods) => {
            tracing::info!(backend = %endpoint, methods = methods.len(), "backend describes its methods");
            endpoint.set_methods(methods);
            Ok(())
        }
        Err(status) => {
            let why = status.message();
            tracing::info!(backend = %endpoint, why, "backend does not describe its methods");
            if !is_final(status.code()) {
                return Err(());
            }
            endpoint.set_methods(Methods::default());
            Ok(())
        }
    }
}

/// Whether the same backend would end the same call like this again.
const fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::Unimplemented
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::NotFound
            | Code::InvalidArgument
            | Code::OutOfRange
    )
}

async fn ask(endpoint: &Arc<Endpoint>) -> Result<Methods, Status> {
    let [v1, v1alpha] = VERSIONS;
    match ask_version(endpoint, v1).await {
        Err(status) if status.code() == Code::Unimplemented => ask_version(endpoint, v1alpha).await,
        told => told,
    }
}

async fn ask_version(endpoint: &Arc<Endpoint>, version: &'static str) -> Result<Methods, Status> {
    let list = vec![MessageRequest::ListServices(String::new())];
    let Some(MessageResponse::ListServicesResponse(list)) = call(endpoint, version, list)
        .await?
        .message()
        .await?
        .and_then(|said| said.message_response)
    else {
        return Err(nonsense("it lists no services"));
    };
    // In order, so that of too many the same ones are known every time.
    let services: BTreeSet<String> =
        list.service.into_iter().map(|service| service.name).take(MAX_SERVICES).collect();

    let mut methods = Methods::default();
    let asks = services.iter().cloned().map(MessageRequest::FileContainingSymbol).collect();
    let mut responses = call(endpoint, version, asks).await?;
    let mut bytes = 0;
    // One response for each.
    for _ in &services {
        let Some(response) = responses.message().await? else {
            return Err(nonsense("its reflection ends too soon"));
        };
        let Some(MessageResponse::FileDescriptorResponse(files)) = response.message_response else {
            // Of this one it does not know.
            continue;
        };
        for file in files.file_descriptor_proto {
            bytes += file.len();
            if bytes > MAX_BYTES {
                return Err(nonsense("its descriptors are too large"));
            }
            let file = FileDescriptor::decode(&*file)
                .map_err(|_| nonsense("its reflection sends what is no descriptor"))?;
            // Files that are imported describe services of others, too.
            let described = methods_of(&file).filter(|(service, ..)| services.contains(service));
            for (_, path, kind) in described.filter(|(_, path, _)| is_path(path)) {
                if methods.len() >= MAX_METHODS {
                    return Ok(methods);
                }
                methods.insert(path, kind);
            }
        }
    }
    Ok(methods)
}

/// Whether this can be the path of a method, and a label.
fn is_path(path: &str) -> bool {
    let is_in_names = |byte: u8| byte.is_ascii_alphanumeric() || b"_./".contains(&byte);
    path.len() <= MAX_PATH_BYTES && path.bytes().all(is_in_names)
}

/// One call of reflection that asks these, one after the other.
async fn call(
    endpoint: &Arc<Endpoint>,
    version: &'static str,
    asks: Vec<MessageRequest>,
) -> Result<Streaming<ServerReflectionResponse>, Status> {
    let lease = endpoint.lease_for_probe().await.map_err(|fault| fault.status(endpoint))?;
    let asks = stream::iter(asks)
        .map(|ask| ServerReflectionRequest { host: String::new(), message_request: Some(ask) });
    let mut client = Grpc::new(Probe::new(lease));
    let codec = ProstCodec::default();
    let path = PathAndQuery::from_static(version);
    let response = client.streaming(tonic::Request::new(asks), path, codec).await?;
    Ok(response.into_inner())
}

fn nonsense(what: &str) -> Status {
    Status::invalid_argument(what)
}

/// The methods that all of these endpoints describe together. They are taken for copies of one another; where they do not
/// agree on a method, it has the kind that allows more.
pub(super) fn of_all<'a>(endpoints: impl Iterator<Item = &'a Arc<Endpoint>>) -> Methods {
    let said: Vec<_> = endpoints.map(|endpoint| endpoint.methods()).collect();
    // In order here, too.
    let mut known: BTreeMap<&str, MethodKind> = BTreeMap::new();
    for (path, kind) in said.iter().flat_map(|methods| methods.iter()) {
        let known = known.entry(path).or_insert(kind);
        known.client_streaming |= kind.client_streaming;
        known.server_streaming |= kind.server_streaming;
    }
    known.into_iter().take(MAX_METHODS).collect()
}
