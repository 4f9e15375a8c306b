//! The service, and its metric.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures_util::stream;
use runnel_protos::api::{ApiRequest, Hello, HelloRequest, Item, Items, api_server::Api};
use runnel_rpc::observer::{CallEnd, CallHead, ObservedCall, Observer};
use tonic::{Request, Response, Status};

/// How many calls ended so far.
pub(crate) static CALLS: AtomicU64 = AtomicU64::new(0);

/// Counts calls.
#[derive(Clone, Debug)]
pub(crate) struct Count;

impl Observer for Count {
    type Call = Self;

    fn began(&self, _call: &mut CallHead) -> Self {
        Self
    }
}

impl ObservedCall for Count {
    fn ended(&mut self, _call: &CallHead, _end: &CallEnd) {
        CALLS.fetch_add(1, Relaxed);
    }
}

/// Greets, and nothing else.
#[derive(Debug)]
pub(crate) struct Greeter;

#[tonic::async_trait]
impl Api for Greeter {
    async fn say_hello(&self, request: Request<HelloRequest>) -> Result<Response<Hello>, Status> {
        Ok(Response::new(Hello { message: format!("Hello {}!", request.get_ref().name) }))
    }

    async fn get_all(&self, _request: Request<ApiRequest>) -> Result<Response<Items>, Status> {
        Err(Status::unimplemented("this service greets"))
    }

    type getStreamStream = stream::Empty<Result<Item, Status>>;

    async fn get_stream(
        &self,
        _request: Request<ApiRequest>,
    ) -> Result<Response<Self::getStreamStream>, Status> {
        Err(Status::unimplemented("this service greets"))
    }
}
