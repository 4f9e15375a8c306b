//! MyProduct: the page, gRPC-Web and gRPC on one port.

use std::{error::Error, process::ExitCode, time::Duration};

use futures_util::{StreamExt as _, stream, stream::BoxStream};
use my_product_proto::my_product_server::{MyProduct, MyProductServer};
use my_product_proto::{DESCRIPTORS, Greeting, Letter, Name};
use runnel::{Product, Startup, embedded_page, prometheus::IntCounter, rpc::Services};
use tonic::{Request, Response, Status};

fn main() -> ExitCode {
    Product::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), services)
        .page(embedded_page!("../dist"))
        .main()
}

fn services(startup: &Startup<'_>) -> Result<Services, Box<dyn Error + Send + Sync>> {
    let greetings = IntCounter::new("my_product_greetings_total", "Greetings so far.")?;
    startup.registry.register(Box::new(greetings.clone()))?;
    let service = MyProductServer::new(Service(greetings))
        .max_decoding_message_size(startup.config.message_limit_bytes);
    Ok(Services::new().add_service(service).describe(DESCRIPTORS))
}

/// Answers the RPCs, and counts greetings.
struct Service(IntCounter);

#[tonic::async_trait]
impl MyProduct for Service {
    async fn greet(&self, name: Request<Name>) -> Result<Response<Greeting>, Status> {
        let name = name.into_inner().name;
        if name.trim().is_empty() {
            return Err(Status::invalid_argument("a name is needed"));
        }
        self.0.inc();
        Ok(Response::new(Greeting { text: format!("Hello {name}!") }))
    }

    type SpellStream = BoxStream<'static, Result<Letter, Status>>;
    async fn spell(&self, name: Request<Name>) -> Result<Response<Self::SpellStream>, Status> {
        let letters: Vec<_> = name.into_inner().name.chars().map(String::from).collect();
        let spelled = stream::iter(letters).then(async |letter| {
            tokio::time::sleep(Duration::from_millis(150)).await;
            Ok(Letter { letter })
        });
        Ok(Response::new(spelled.boxed()))
    }
}
