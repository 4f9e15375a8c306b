//! Calls follow the addresses of a name.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use tokio::{net::TcpListener, time::timeout};
use tonic::{
    Code, Status,
    body::Body,
    transport::{Server, server::TcpIncoming},
};
use tower::Service as _;

use super::{Backend, Settings, resolver::Resolver};

/// What a name resolves to, and how often it was looked up.
#[derive(Clone)]
struct Record(Arc<Mutex<(io::Result<Vec<SocketAddr>>, usize)>>);

impl Record {
    fn new(address: SocketAddr) -> Self {
        Self(Arc::new(Mutex::new((Ok(vec![address]), 0))))
    }

    fn set(&self, addresses: io::Result<Vec<SocketAddr>>) {
        self.0.lock().unwrap().0 = addresses;
    }

    fn lookups(&self) -> usize {
        self.0.lock().unwrap().1
    }

    fn look_up(&self) -> io::Result<Vec<SocketAddr>> {
        let mut record = self.0.lock().unwrap();
        record.1 += 1;
        record.0.as_ref().map(Clone::clone).map_err(|error| error.kind().into())
    }
}

/// Two servers, on one port of two addresses of loopback.
async fn two_servers() -> [SocketAddr; 2] {
    let (one, two) = loop {
        let one = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let port = one.local_addr().unwrap().port();
        // Somebody else may have it there.
        if let Ok(two) = TcpListener::bind(("127.0.0.3", port)).await {
            break (one, two);
        }
    };
    let addresses = [one.local_addr().unwrap(), two.local_addr().unwrap()];
    for listener in [one, two] {
        let (_, health) = tonic_health::server::health_reporter();
        let server = Server::builder().add_service(health);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    }
    addresses
}

async fn backend(record: &Record, resolve_interval: Duration) -> Backend {
    let mut settings = Settings::to(["http://name.localhost:1".parse().unwrap()]);
    settings.resolve_interval = resolve_interval;
    settings.connect_timeout = Duration::from_secs(2);
    let record = record.clone();
    let resolver = Resolver::of(move || record.look_up());
    Backend::start_with(settings, resolver).await.unwrap()
}

/// How a call ends.
async fn call(backend: &Backend) -> Code {
    let request = Request::post("/grpc.health.v1.Health/Check")
        .header(header::CONTENT_TYPE, "application/grpc")
        .body(Body::new(Full::new(Bytes::from_static(&[0; 5]))))
        .unwrap();
    let Ok(response) = backend.clone().call(request).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let ends = [Some(&head.headers), body.trailers()];
    let status = ends.into_iter().flatten().find_map(Status::from_header_map).unwrap();
    status.code()
}

/// How many calls each address got that the name has now.
fn calls(backend: &Backend) -> Vec<(String, u64)> {
    let endpoints = backend.status().into_iter().flat_map(|backend| backend.endpoints);
    endpoints.map(|endpoint| (endpoint.address, endpoint.calls)).collect()
}

fn was_called(backend: &Backend, address: SocketAddr) -> bool {
    let address = address.to_string();
    calls(backend).into_iter().any(|(called, calls)| called == address && calls > 0)
}

async fn patiently(what: &str, future: impl Future<Output = ()>) {
    assert!(timeout(Duration::from_mins(1), future).await.is_ok(), "{what} did not happen");
}

#[tokio::test]
async fn calls_follow_a_name_to_its_new_address() {
    let [old, new] = two_servers().await;
    let record = Record::new(old);
    let backend = backend(&record, Duration::from_millis(10)).await;
    assert_eq!(call(&backend).await, Code::Ok);
    assert!(was_called(&backend, old) && !was_called(&backend, new));

    record.set(Ok(vec![new]));
    patiently("calls at the new address", async {
        while !was_called(&backend, new) {
            assert_eq!(call(&backend).await, Code::Ok);
        }
    })
    .await;
    let old_address = old.to_string();
    assert!(calls(&backend).iter().all(|(address, _)| *address != old_address), "it is gone");

    // Old addresses are better than none.
    record.set(Err(io::ErrorKind::NotFound.into()));
    let asked = record.lookups();
    patiently("a lookup that fails", async {
        while record.lookups() < asked + 2 {
            assert_eq!(call(&backend).await, Code::Ok);
        }
    })
    .await;
    record.set(Ok(vec![old, new]));
    patiently("calls at both addresses", async {
        while !was_called(&backend, old) {
            assert_eq!(call(&backend).await, Code::Ok);
        }
    })
    .await;
}

/// Long before it would be its time.
#[tokio::test]
async fn a_name_is_looked_up_at_once_when_its_address_cannot_be_reached() {
    let [there, nowhere] = {
        let gone = TcpListener::bind("127.0.0.2:0").await.unwrap().local_addr().unwrap();
        [two_servers().await[0], gone]
    };
    let record = Record::new(nowhere);
    let backend = backend(&record, Duration::from_hours(24)).await;
    assert_eq!(call(&backend).await, Code::Unavailable);
    record.set(Ok(vec![there]));
    patiently("a call that is answered", async { while call(&backend).await != Code::Ok {} }).await;
}

#[tokio::test]
async fn a_backend_is_healthy_when_one_of_its_addresses_is_up() {
    let record = Record::new(two_servers().await[0]);
    let backend = backend(&record, Duration::from_hours(24)).await;
    let mut healthy = backend.healthy();
    patiently("a health check", async { drop(healthy.wait_for(|is| *is).await.unwrap()) }).await;
    let [status] = &backend.status()[..] else { panic!("there is one backend") };
    assert_eq!(status.backend, "http://name.localhost:1");
    assert!(status.endpoints[0].is_up, "{status:?}");
}

#[tokio::test]
async fn settings_without_a_backend_are_refused() {
    let refusal = Backend::start(Settings::default()).await.unwrap_err();
    assert!(refusal.to_string().contains("at least one URL"), "{refusal}");
}
