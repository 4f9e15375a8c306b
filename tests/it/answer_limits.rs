//! A service that answers more than a client can take ends with a status that says so, on every
//! protocol, and produces no more.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use runnel::config::ServeConfig;
use runnel_protos::api::{
    ApiRequest, Hello, HelloRequest, Item, Items,
    api_server::{Api, ApiServer},
};
use runnel_rpc::Services;
use runnel_tests::{
    for_each_role, patiently,
    server::Role,
    wire::{PROTOCOLS, call, frame},
};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tonic::{Code, Request, Response, Status, metadata::MetadataValue};

for_each_role! {
    answers_beyond_the_limits_are_resource_exhausted_and_those_within_pass,
}

/// - `sayHello` answers as many bytes as its name says;
/// - `getAll` sends `length` bytes of metadata before its message, and fails with `after` bytes of them;
/// - `getStream` sends `length` small items, then a large one, and then waits for ever; it tells when
///   it is dropped.
struct Overflowing {
    gone: UnboundedSender<()>,
}

struct TellsWhenGone(UnboundedSender<()>);

impl Drop for TellsWhenGone {
    fn drop(&mut self) {
        // An Err says that the test has ended.
        let _ = self.0.send(());
    }
}

#[tonic::async_trait]
impl Api for Overflowing {
    async fn say_hello(&self, request: Request<HelloRequest>) -> Result<Response<Hello>, Status> {
        let bytes = request.get_ref().name.parse().unwrap();
        Ok(Response::new(Hello { message: "x".repeat(bytes) }))
    }

    async fn get_all(&self, request: Request<ApiRequest>) -> Result<Response<Items>, Status> {
        let ApiRequest { length, after } = request.into_inner();
        let metadata = |bytes: i32| {
            MetadataValue::try_from("x".repeat(usize::try_from(bytes).unwrap())).unwrap()
        };
        if after > 0 {
            let mut status = Status::not_found("nowhere");
            status.metadata_mut().insert("x-large", metadata(after));
            return Err(status);
        }
        let mut response = Response::new(Items::default());
        response.metadata_mut().insert("x-large", metadata(length));
        Ok(response)
    }

    type getStreamStream = Pin<Box<dyn Stream<Item = Result<Item, Status>> + Send>>;

    async fn get_stream(
        &self,
        request: Request<ApiRequest>,
    ) -> Result<Response<Self::getStreamStream>, Status> {
        let alive = TellsWhenGone(self.gone.clone());
        let item = |id, bytes| Ok(Item { id, name: "x".repeat(bytes) });
        let items = stream::iter(1..=request.into_inner().length)
            .map(move |id| item(id, 10))
            .chain(stream::iter([item(0, 5000)]))
            .chain(stream::pending());
        let items = items.inspect(move |_| {
            let _ = &alive;
        });
        Ok(Response::new(items.boxed()))
    }
}

async fn answers_beyond_the_limits_are_resource_exhausted_and_those_within_pass(role: Role) {
    let (gone, mut handlers_gone) = unbounded_channel();
    let services = Services::new()
        .add_service(ApiServer::new(Overflowing { gone }))
        .describe(runnel_protos::DESCRIPTOR_SET);
    let config = ServeConfig {
        answer_limit_bytes: 2000,
        answer_metadata_limit_bytes: 1000,
        ..ServeConfig::default()
    };
    let server = role.start_services(services, config).await;
    let call = |protocol, path, request| call(server.address(), protocol, path, request);

    for protocol in PROTOCOLS {
        for (bytes, code) in [(1990, Code::Ok), (2001, Code::ResourceExhausted)] {
            let request = frame(&HelloRequest { name: format!("{bytes}") });
            let answer = call(protocol, "/api.Api/sayHello", request).await;
            assert_eq!(answer.code(), Some(code), "{protocol:?} {bytes}");
            if code == Code::ResourceExhausted {
                assert!(answer.messages.is_empty());
                assert!(answer.message().contains("2000%20are%20allowed"), "{}", answer.message());
            }
        }
        for (length, after, code) in [
            (600, 0, Code::Ok),
            (1001, 0, Code::ResourceExhausted),
            (0, 600, Code::NotFound),
            (0, 1001, Code::ResourceExhausted),
        ] {
            let request = frame(&ApiRequest { length, after });
            let answer = call(protocol, "/api.Api/getAll", request).await;
            assert_eq!(answer.code(), Some(code), "{protocol:?} {length} {after}");
            let sent = answer.headers.contains_key("x-large");
            assert_eq!(sent, code != Code::ResourceExhausted, "{protocol:?} {length} {after}");
        }
        for length in [0, 3, 1000] {
            let request = frame(&ApiRequest { length, after: 0 });
            let answer = call(protocol, "/api.Api/getStream", request).await;
            assert_eq!(answer.code(), Some(Code::ResourceExhausted), "{protocol:?} {length}");
            let items = answer.decode::<Item>();
            assert_eq!(items.len(), usize::try_from(length).unwrap(), "nothing sound is lost");
            patiently("the end of the handler", handlers_gone.recv()).await.unwrap();
        }
    }
    server.stop().await;
}
