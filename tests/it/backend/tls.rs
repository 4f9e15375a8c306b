//! TLS to a backend: our own server, with certificates made for the test.

use runnel::config::{BackendConfig, ServeConfig};
use runnel_protos::api::ApiRequest;
use runnel_tests::{
    server::TestServer,
    tls::{Authority, Files},
    wire::{self, PROTOCOLS, frame},
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

/// A backend that was meant to be called in the clear, and the other way round.
#[tokio::test]
async fn tls_and_its_absence_are_told_apart() {
    let authority = Authority::new();
    let ca = ca(&authority);
    let plain = ServeConfig::default();
    let outcomes = outcome(plain, |config| config.backend_ca = Some(ca.path().join("ca.pem")));
    all_unavailable(&outcomes.await, "the TLS handshake failed");
}
