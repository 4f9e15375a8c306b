//! Requests on the public port for what is not there: they must not get the page, which would tell a probe, a
//! browser or a client that all is well.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use runnel::config::ServeConfig;
use runnel_tests::{
    for_each_role,
    server::{Role, TestServer},
    wire,
};

for_each_role! {
    what_the_admin_port_answers_is_404_here_and_says_where_it_is,
    hidden_names_are_no_places_in_the_page,
    a_method_that_is_got_is_not_the_page,
    a_websocket_is_refused_with_words,
}

async fn asked(
    server: &TestServer,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (Response<()>, String) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Bytes::new()).unwrap();
    let (head, body) = wire::http1_request(server.address(), request).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(head, ()), String::from_utf8(body.to_vec()).unwrap())
}

async fn what_the_admin_port_answers_is_404_here_and_says_where_it_is(role: Role) {
    let server = role.start(ServeConfig::default()).await;
    for path in
        ["/readyz", "/livez", "/metrics", "/healthz", "/readyz/", "/readyz?verbose", "/livez/ping"]
    {
        let (head, words) = asked(&server, Method::GET, path, &[]).await;
        assert_eq!(head.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(words.contains("--admin-listen"), "{path}: {words}");
        let (head, words) = asked(&server, Method::HEAD, path, &[]).await;
        assert_eq!((head.status(), words.as_str()), (StatusCode::NOT_FOUND, ""), "{path}");
    }
    server.stop().await;
}

async fn hidden_names_are_no_places_in_the_page(role: Role) {
    let server = role.start(ServeConfig::default()).await;
    for path in ["/.well-known/change-password", "/.git/config", "/stream/.env/x"] {
        let (head, _) = asked(&server, Method::GET, path, &[]).await;
        assert_eq!(head.status(), StatusCode::NOT_FOUND, "{path}");
    }
    server.stop().await;
}

/// A probe of `/grpc.health.v1.Health/Check` by GET would be green for ever.
async fn a_method_that_is_got_is_not_the_page(role: Role) {
    let server = role.start(ServeConfig::default()).await;
    for path in [
        "/api.Api/getAll",
        "/grpc.health.v1.Health/Check",
        "/no.such.Service/Get",
        "/v1/grpc/shop.v1.Catalogue/Get",
    ] {
        for method in [Method::GET, Method::HEAD, Method::PUT] {
            let (head, _) = asked(&server, method, path, &[]).await;
            assert_eq!(head.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert_eq!(head.headers()[header::ALLOW], "POST", "{path}");
        }
    }
    server.stop().await;
}

async fn a_websocket_is_refused_with_words(role: Role) {
    let server = role.start(ServeConfig::default()).await;
    let handshake = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "grpc-websockets"),
    ];
    for (path, status) in [
        ("/api.Api/getAll", StatusCode::METHOD_NOT_ALLOWED),
        ("/shop.v1.Catalogue/Get", StatusCode::METHOD_NOT_ALLOWED),
        ("/Catalogue/Get", StatusCode::BAD_REQUEST),
        ("/", StatusCode::BAD_REQUEST),
    ] {
        let (head, words) = asked(&server, Method::GET, path, &handshake).await;
        assert_eq!(head.status(), status, "{path}");
        let has_words = words.contains("POST") || words.contains("no WebSockets");
        assert!(has_words, "{path}: {words}");
    }
    // Others who would rather speak something else get what they asked for.
    let (head, _) = asked(&server, Method::GET, "/", &[("upgrade", "h2c")]).await;
    assert_eq!(head.status(), StatusCode::OK);
    server.stop().await;
}
