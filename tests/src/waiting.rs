//! The contract, answered by a service that waits: for tests of how calls end other than well. It
//! tells when a handler begins and when it is gone.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use runnel_protos::api::{
    ApiRequest, Hello, HelloRequest, Item, Items,
    api_server::{Api, ApiServer},
};
use runnel_rpc::Services;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tonic::{Request, Response, Status};

use crate::patiently;

/// What happens to a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It runs.
    Began,
    /// It, and whatever it was producing, is dropped.
    Gone,
}

/// What a handler was told to do, by the length of a `getStream` request.
pub mod length {
    /// Sends an item, whenever asked, without end and without ever waiting.
    pub const ENDLESS: i32 = -1;
    /// Sends one item and fails.
    pub const FAILING: i32 = -2;
}

/// - `sayHello` never answers;
/// - `getAll` answers at once;
/// - `getStream` sends as many items as asked for and then waits for ever, or does as [`length`] says.
///   Zero items are an end at once.
struct WaitingApi {
    events: UnboundedSender<Event>,
}

/// Tells of the handlers of a service that waits.
pub struct Events(UnboundedReceiver<Event>);

/// The service, to be served, and what happens in it.
pub fn services() -> (Services, Events) {
    let (events, received) = unbounded_channel();
    let api = ApiServer::new(WaitingApi { events });
    let services = Services::new().add_service(api).describe(runnel_protos::DESCRIPTOR_SET);
    (services, Events(received))
}

impl Events {
    /// Waits for the next event, which must be this one.
    pub async fn expect(&mut self, event: Event) {
        let next = patiently(&format!("{event:?}"), self.0.recv()).await;
        assert_eq!(next, Some(event));
    }

    /// What has happened since, without waiting for more.
    pub fn so_far(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }

    /// Whether nothing has happened since.
    pub fn is_quiet(&self) -> bool {
        self.0.is_empty()
    }
}

/// A handler's life.
struct Running(UnboundedSender<Event>);

impl Running {
    fn begin(events: &UnboundedSender<Event>) -> Self {
        // An Err says that the test has ended.
        let _ = events.send(Event::Began);
        Self(events.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.send(Event::Gone);
    }
}

#[tonic::async_trait]
impl Api for WaitingApi {
    async fn say_hello(&self, _: Request<HelloRequest>) -> Result<Response<Hello>, Status> {
        let _running = Running::begin(&self.events);
        std::future::pending().await
    }

    async fn get_all(&self, _: Request<ApiRequest>) -> Result<Response<Items>, Status> {
        Ok(Response::new(Items::default()))
    }

    type getStreamStream = Pin<Box<dyn Stream<Item = Result<Item, Status>> + Send>>;

    async fn get_stream(
        &self,
        request: Request<ApiRequest>,
    ) -> Result<Response<Self::getStreamStream>, Status> {
        let running = Running::begin(&self.events);
        let item = |id| Ok(Item { id, name: "x".repeat(100) });
        let items = match request.into_inner().length {
            length::ENDLESS => stream::iter((1..).map(item)).boxed(),
            length::FAILING => stream::iter([item(1), Err(Status::data_loss("broken"))]).boxed(),
            0 => stream::empty().boxed(),
            length => stream::iter((1..=length).map(item)).chain(stream::pending()).boxed(),
        };
        // The stream owns the handler's life.
        let items = items.inspect(move |_| {
            let _ = &running;
        });
        Ok(Response::new(items.boxed()))
    }
}
