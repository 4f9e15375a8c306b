//! Where a backend is, and whether the front itself is ready, whatever its backend says.

use futures_util::FutureExt as _;
use runnel::{
    config::ServeConfig,
    healthcheck::{HealthcheckError, check},
};
use runnel_protos::api::{Hello, HelloRequest};
use runnel_tests::{
    metrics::Metrics,
    patiently, python,
    server::TestServer,
    wire::{self, PROTOCOLS, frame},
};
use tonic::Code;

use super::odd::Odd;

/// The original service, on a Unix domain socket.
#[tokio::test]
async fn a_backend_on_a_unix_socket_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("unix:{}", folder.path().join("grpc.sock").display());
    let backend = python::serve_with("server.py", &["--listen", &url]).await;
    let front = super::front(&[&url]).await;
    for protocol in PROTOCOLS {
        let hello = frame(&HelloRequest { name: "Gonzalo".into() });
        let answer = wire::call(front.address(), protocol, "/api.Api/sayHello", hello).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?} {}", answer.message());
        assert_eq!(answer.decode::<Hello>()[0].message, "Hello Gonzalo!");
    }
    let metrics = Metrics::read(front.admin_address()).await;
    let labels = [&*format!("backend=\"{url}\""), &*format!("address=\"{url}\"")];
    assert_eq!(metrics.sum("runnel_backend_calls_total", &labels), 3);

    backend.kill().await;
    std::fs::remove_file(folder.path().join("grpc.sock")).unwrap_or_default();
    patiently("calls that find nobody", async {
        loop {
            let hello = frame(&HelloRequest::default());
            let answer =
                wire::call(front.address(), PROTOCOLS[0], "/api.Api/sayHello", hello).await;
            assert_eq!(answer.code(), Some(Code::Unavailable));
            // The first may have lost the connection.
            if answer.message().contains("connect") {
                assert!(answer.message().contains("grpc.sock"), "{}", answer.message());
                return;
            }
        }
    })
    .await;
    front.stop().await;
}

/// Many backends want a token for everything, or know no name that is empty.
#[tokio::test]
async fn the_health_check_of_a_front_is_its_own_whatever_the_backend_says() {
    for refusal in ["16", "5", "7"] {
        let backend = Odd::start(move |_, stream| {
            super::odd::serve_http2(stream, "/no.such.service", move |call| {
                async move { call.refuse(refusal) }.boxed()
            })
        })
        .await;
        let front = super::front(&[&backend.url()]).await;
        patiently("readiness", async {
            while super::super::admin::ready(front.admin_address()).await != "ready\n" {}
        })
        .await;
        check(&asked(&front)).await.unwrap();
        front.stop().await;
    }
}

#[tokio::test]
async fn the_health_check_of_a_front_whose_backend_is_down_says_so() {
    let nowhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let front = super::front(&[&format!("http://{nowhere}")]).await;
    patiently("a backend that is known to be down", async {
        while super::super::admin::ready(front.admin_address()).await == "ready\n" {}
    })
    .await;
    let verdict = check(&asked(&front)).await;
    assert!(matches!(verdict, Err(HealthcheckError::NotServing { .. })), "{verdict:?}");
    front.stop().await;
}

fn asked(front: &TestServer) -> ServeConfig {
    ServeConfig { listen: front.address(), ..ServeConfig::default() }
}
