//! How the name of a backend becomes addresses.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::net::lookup_host;

type Lookup = dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

/// Looks names up.
#[derive(Clone)]
pub(super) struct Resolver(Arc<Lookup>);

impl Resolver {
    /// The system's (`/etc/hosts`, mDNS, whatever `nsswitch.conf` says), as every other program on the
    /// machine has it; one of our own would know the records' times to live and none of that.
    pub(super) fn system() -> Self {
        let lookup = |host, port| async move { Ok(lookup_host((host, port)).await?.collect()) };
        Self(Arc::new(move |host: String, port| lookup(host, port).boxed()))
    }

    /// One that knows what it is told.
    #[cfg(test)]
    pub(super) fn of(
        addresses: impl Fn() -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |_, _| std::future::ready(addresses()).boxed()))
    }

    /// The addresses that the name has now, with the port.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        (self.0)(host.to_owned(), port).await
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::Duration};

    use bytes::Bytes;
    use http::{Request, header};
    use http_body_util::{BodyExt as _, Full};
    use prometheus::{Registry, TextEncoder};
    use runnel_rpc::methods::KnownMethods;
    use tokio::{net::TcpListener, time::timeout};
    use tonic::{Code, Status, body::Body};
    use tower::Service as _;

    use super::*;
    use crate::{
        backend::Backend,
        config::{BackendConfig, ServeConfig},
        readiness::Readiness,
    };

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

    /// Two of our own servers, on one port of two addresses of loopback.
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
            tokio::spawn(crate::serve(listener, ServeConfig::default(), std::future::pending()));
        }
        addresses
    }

    async fn backend(record: &Record, resolve_interval: Duration) -> Backend {
        let config = BackendConfig {
            backend: vec!["http://name.localhost:1".parse().unwrap()],
            backend_resolve_interval: resolve_interval,
            backend_connect_timeout: Duration::from_secs(2),
            ..BackendConfig::default()
        };
        let record = record.clone();
        let resolver = Resolver::of(move || record.look_up());
        let day = Duration::from_hours(24);
        let (readiness, methods) = (Readiness::default(), KnownMethods::default());
        let quota = ServeConfig::default().limits().quota();
        Backend::start_with(&config, resolver, day, readiness, methods, quota).await.unwrap()
    }

    /// How a call ends.
    async fn call(backend: &Backend) -> Code {
        let request = Request::post("/api.Api/getAll")
            .header(header::CONTENT_TYPE, "application/grpc")
            .body(Body::new(Full::new(Bytes::from_static(&[0; 5]))))
            .unwrap();
        let Ok(answer) = backend.clone().call(request).await;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap();
        let ends = [Some(&head.headers), body.trailers()];
        let status = ends.into_iter().flatten().find_map(Status::from_header_map).unwrap();
        status.code()
    }

    fn metrics(backend: &Backend) -> String {
        let registry = Registry::new();
        registry.register(Box::new(backend.metrics().unwrap())).unwrap();
        TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    fn was_called(backend: &Backend, address: SocketAddr) -> bool {
        let series = format!("runnel_backend_calls_total{{address=\"{address}\"");
        let metrics = metrics(backend);
        metrics.lines().any(|line| line.starts_with(&series) && !line.ends_with(" 0"))
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
        assert!(!metrics(&backend).contains(&old.to_string()), "{}", metrics(&backend));

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
        patiently("a call that is answered", async { while call(&backend).await != Code::Ok {} })
            .await;
    }
}
