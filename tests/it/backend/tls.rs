//! TLS to a backend: our own server, with certificates made for the test.

use std::{net::SocketAddr, time::Duration};

use runnel::config::{BackendConfig, ServeConfig};
use runnel_protos::api::ApiRequest;
use runnel_tests::{
    binary::Binary,
    metrics::Metrics,
    patiently,
    server::TestServer,
    tls::{Authority, Files},
    wire::{self, PROTOCOLS, Protocol, frame},
};
use tempfile::TempDir;
use tonic::Code;

/// A backend with this encryption, and what `/api.Api/getAll` through a front of it ends as.
async fn outcome(
    backend: ServeConfig,
    configure: impl FnOnce(&mut BackendConfig),
) -> Vec<(Option<Code>, String)> {
    let backend = TestServer::start_with(backend).await;
    let url = format!("https://localhost:{}", backend.address().port());
    let mut config = super::config(&[&url]);
    configure(&mut config.backend);
    let front = TestServer::start_with(config).await;
    let mut outcomes = Vec::new();
    for protocol in PROTOCOLS {
        let request = frame(&ApiRequest { length: 1, after: 0 });
        let answer = wire::call(front.address(), protocol, "/api.Api/getAll", request).await;
        outcomes.push((answer.code(), answer.message().replace("%20", " ")));
    }
    front.stop().await;
    backend.stop().await;
    outcomes
}

fn all_ok(outcomes: &[(Option<Code>, String)]) {
    assert!(outcomes.iter().all(|(code, _)| *code == Some(Code::Ok)), "{outcomes:?}");
}

fn all_unavailable(outcomes: &[(Option<Code>, String)], why: &str) {
    for (code, message) in outcomes {
        assert_eq!(*code, Some(Code::Unavailable), "{message}");
        assert!(message.contains("https://localhost:"), "{message}");
        assert!(message.contains(why), "{message:?} is not about {why:?}");
    }
}

/// A folder with an authority's certificate.
fn ca(authority: &Authority) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    folder
}

#[tokio::test]
async fn a_backend_with_a_certificate_of_the_given_authority_is_called() {
    let authority = Authority::new();
    let (files, ca) = (Files::new(&authority.issue()), ca(&authority));
    let backend = ServeConfig { tls: files.config(), ..ServeConfig::default() };
    let outcomes = outcome(backend, |config| config.backend_ca = Some(ca.path().join("ca.pem")));
    all_ok(&outcomes.await);
}

/// As `openssl req -x509` makes it, which every other gRPC client takes.
#[tokio::test]
async fn a_certificate_that_is_trusted_itself_is_taken_though_it_is_an_authoritys() {
    let (authority, identity) = Authority::of_a_server();
    let (files, trusted) = (Files::new(&identity), ca(&authority));
    let backend = ServeConfig { tls: files.config(), ..ServeConfig::default() };
    let ca_file = trusted.path().join("ca.pem");
    let outcomes = outcome(backend.clone(), |config| config.backend_ca = Some(ca_file.clone()));
    all_ok(&outcomes.await);
    // Its name still matters, and so does which it is.
    let outcomes = outcome(backend.clone(), |config| {
        config.backend_ca = Some(ca_file);
        config.backend_server_name = Some("elsewhere.example".into());
    });
    all_unavailable(&outcomes.await, "certificate not valid for name");
    let another = ca(&Authority::of_a_server().0);
    let outcomes = outcome(backend, |config| {
        config.backend_ca = Some(another.path().join("ca.pem"));
    });
    all_unavailable(&outcomes.await, "CA:FALSE");
}

/// The other way round: what a client shows.
#[tokio::test]
async fn a_clients_certificate_that_is_trusted_itself_is_taken_though_it_is_an_authoritys() {
    let authority = Authority::new();
    let (ours, identity) = Authority::of_a_server();
    let (files, shown, trusted) =
        (Files::new(&authority.issue()), Files::new(&identity), ca(&authority));
    let backend = ServeConfig { tls: files.config_for_clients_of(&ours), ..ServeConfig::default() };
    let outcomes = outcome(backend, |config| {
        config.backend_ca = Some(trusted.path().join("ca.pem"));
        config.backend_client_cert = Some(shown.path().join("cert.pem"));
        config.backend_client_key = Some(shown.path().join("key.pem"));
    });
    all_ok(&outcomes.await);
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_refused() {
    let files = Files::new(&Authority::new().issue());
    let ca = ca(&Authority::new());
    let backend = ServeConfig { tls: files.config(), ..ServeConfig::default() };
    let outcomes = outcome(backend, |config| config.backend_ca = Some(ca.path().join("ca.pem")));
    all_unavailable(&outcomes.await, "the TLS handshake failed: invalid peer certificate");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let (files, ca) = (Files::new(&authority.issue()), ca(&authority));
    let backend = ServeConfig { tls: files.config(), ..ServeConfig::default() };
    let outcomes = outcome(backend, |config| {
        config.backend_ca = Some(ca.path().join("ca.pem"));
        config.backend_server_name = Some("elsewhere.example".into());
    });
    all_unavailable(&outcomes.await, "certificate not valid for name");
}

#[tokio::test]
async fn a_backend_that_wants_a_client_certificate_gets_it() {
    let authority = Authority::new();
    let (files, ours) = (Files::new(&authority.issue()), Files::new(&authority.issue()));
    let ca = ca(&authority);
    let tls = files.config_for_clients_of(&authority);
    let backend = ServeConfig { tls, ..ServeConfig::default() };
    let outcomes = outcome(backend.clone(), |config| {
        config.backend_ca = Some(ca.path().join("ca.pem"));
        config.backend_client_cert = Some(ours.path().join("cert.pem"));
        config.backend_client_key = Some(ours.path().join("key.pem"));
    });
    all_ok(&outcomes.await);
    let without = outcome(backend, |config| config.backend_ca = Some(ca.path().join("ca.pem")));
    all_unavailable(&without.await, "");
}

async fn call(front: SocketAddr) -> Option<Code> {
    let request = frame(&ApiRequest { length: 1, after: 0 });
    wire::call(front, Protocol::GrpcWeb, "/api.Api/getAll", request).await.code()
}

/// Whom to trust, and what to show: both are wrong at first, and mended one after the other.
#[tokio::test]
async fn certificates_are_taken_anew_when_their_files_change() {
    let authority = Authority::new();
    let (files, ours) = (Files::new(&authority.issue()), Files::new(&Authority::new().issue()));
    let ca = ca(&Authority::new());
    let tls = files.config_for_clients_of(&authority);
    let backend = TestServer::start_with(ServeConfig { tls, ..ServeConfig::default() }).await;
    let mut config = super::config(&[&format!("https://localhost:{}", backend.address().port())]);
    config.tls.tls_reload_interval = Duration::from_millis(50);
    config.backend.backend_ca = Some(ca.path().join("ca.pem"));
    config.backend.backend_client_cert = Some(ours.path().join("cert.pem"));
    config.backend.backend_client_key = Some(ours.path().join("key.pem"));
    let front = TestServer::start_with(config).await;
    assert_eq!(call(front.address()).await, Some(Code::Unavailable));

    let why = async |fault: &str| {
        let labels = [&*format!("fault=\"{fault}\"")];
        let metrics = Metrics::read(front.admin_address()).await;
        metrics.sum("runnel_backend_connect_failures_total", &labels)
    };
    assert!(why("tls").await > 0);
    std::fs::write(ca.path().join("ca.pem"), &authority.pem).unwrap();
    // Now the backend is trusted, and refuses us: in TLS 1.3 behind the handshake.
    patiently("a connection that ends behind the handshake", async {
        while why("lost").await + why("not_http2").await == 0 {
            assert_eq!(call(front.address()).await, Some(Code::Unavailable));
        }
    })
    .await;
    ours.write(&authority.issue());
    patiently("calls that are answered", async {
        while call(front.address()).await != Some(Code::Ok) {}
    })
    .await;
    front.stop().await;
    backend.stop().await;
}

/// What cannot be used changes nothing: new connections are made with what there was.
#[tokio::test]
async fn files_that_cannot_be_used_are_told_and_what_was_there_stays() {
    let authority = Authority::new();
    let (files, ca) = (Files::new(&authority.issue()), ca(&authority));
    let ca_file = ca.path().join("ca.pem");
    let mut backend = ServeConfig { tls: files.config(), ..ServeConfig::default() };
    backend.connections.max_connection_age = Duration::from_millis(500);
    let backend = TestServer::start_with(backend).await;
    let url = format!("https://localhost:{}", backend.address().port());
    let args = ["--backend", &url, "--backend-ca", ca_file.to_str().unwrap()];
    let mut binary = Binary::start(&[&args[..], &["--tls-reload-interval", "1h"]].concat()).await;
    assert_eq!(call(binary.address()).await, Some(Code::Ok));

    let hang_up = async |binary: &mut Binary, says: &str| {
        binary.signal("HUP").await;
        let message = |line: &serde_json::Value| Some(line["message"].as_str()?.to_owned());
        let says_it = |line: &serde_json::Value| message(line).filter(|text| text.contains(says));
        binary.log(says, says_it).await
    };
    let admin = binary.admin_address().unwrap();
    let connections = async || {
        let metrics = Metrics::read(admin).await;
        let failures = metrics.sum("runnel_backend_connect_failures_total", &["fault=\"tls\""]);
        (metrics.sum("runnel_backend_connections_total", &[]), failures)
    };
    std::fs::write(&ca_file, "nothing").unwrap();
    let said = hang_up(&mut binary, "the TLS configuration for backends stays as it was").await;
    assert!(said.contains("ca.pem"), "{said}");
    let (before, _) = connections().await;
    patiently("new connections", async {
        while connections().await.0 < before + 2 {
            assert_eq!(call(binary.address()).await, Some(Code::Ok));
        }
    })
    .await;

    std::fs::write(&ca_file, Authority::new().pem).unwrap();
    hang_up(&mut binary, "loaded the TLS configuration for backends anew").await;
    patiently("a backend that is not trusted", async {
        while connections().await.1 == 0 {
            call(binary.address()).await;
        }
    })
    .await;
    backend.stop().await;
}

/// A backend that was meant to be called in the clear, and the other way round.
#[tokio::test]
async fn tls_and_its_absence_are_told_apart() {
    let authority = Authority::new();
    let ca = ca(&authority);
    let plain = ServeConfig::default();
    let outcomes = outcome(plain, |config| config.backend_ca = Some(ca.path().join("ca.pem")));
    all_unavailable(&outcomes.await, "the TLS handshake failed");
}
