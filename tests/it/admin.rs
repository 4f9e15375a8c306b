//! The admin port: is it alive, is it ready.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use runnel::config::ServeConfig;
use runnel_tests::{
    binary::{self, Binary},
    patiently,
    server::TestServer,
    waiting, wire,
};

/// What `path` answers: the status and the text.
async fn get(address: std::net::SocketAddr, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Bytes::new()).unwrap();
    let response = wire::http1_request(address, request).await;
    let status = response.status();
    let text = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(text.to_vec()).unwrap())
}

/// What `/readyz` says.
pub(crate) async fn ready(admin: std::net::SocketAddr) -> String {
    get(admin, "/readyz").await.1
}

#[tokio::test]
async fn a_server_is_alive_and_ready_and_not_ready_from_the_moment_it_drains() {
    let (services, mut events) = waiting::services();
    let mut server = TestServer::start_services(services, ServeConfig::default()).await;
    let admin = server.admin_address();
    assert_eq!(get(admin, "/livez").await, (StatusCode::OK, "alive\n".into()));
    assert_eq!(get(admin, "/readyz").await, (StatusCode::OK, "ready\n".into()));

    // A stream that is open holds the drain up.
    let client = server.client();
    let mut stream = client.get_stream(1).await.unwrap();
    events.expect(waiting::Event::Began).await;
    stream.next().await.unwrap().unwrap();
    server.begin_shutdown();
    let unavailable = (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    patiently("readiness to end", async {
        while get(admin, "/readyz").await != unavailable {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(get(admin, "/livez").await.0, StatusCode::OK, "it lives until it has drained");

    drop(stream);
    server.ended().await;
}

#[tokio::test]
async fn anything_else_on_the_admin_port_is_404_and_nothing_of_it_is_on_the_public_port() {
    let server = TestServer::start().await;
    for path in ["/", "/index.html", "/readyz/", "/livez/x", "/api.Api/getAll"] {
        assert_eq!(get(server.admin_address(), path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    let post = Request::post("/livez").body(Bytes::new()).unwrap();
    let post = wire::http1_request(server.admin_address(), post).await;
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(get(server.address(), path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn it_can_be_turned_off() {
    let binary = Binary::start(&["--admin-listen", ""]).await;
    assert_eq!(binary.admin_address(), None);
    wire::is_none_the_worse(binary.address()).await;
}

#[tokio::test]
async fn an_admin_port_in_use_is_exit_code_1_and_names_the_flag() {
    let binary = Binary::start(&[]).await;
    let taken = binary.admin_address().unwrap().to_string();
    assert_eq!(get(binary.admin_address().unwrap(), "/readyz").await.0, StatusCode::OK);
    let mut command = binary::command();
    let second = command.args(["--listen", "127.0.0.1:0", "--admin-listen", &taken]).output();
    let second = patiently("the second server's end", second).await.unwrap();
    assert_eq!(second.status.code(), Some(1));
    let words = String::from_utf8_lossy(&second.stderr);
    assert!(words.contains(&taken) && words.contains("--admin-listen"), "{words}");
}
