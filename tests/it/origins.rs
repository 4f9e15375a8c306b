//! Which pages may call: by what browsers say, on raw sockets, and in a real browser.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use runnel::config::{AccessConfig, ServeConfig};
use runnel_client::CallError;
use runnel_protos::api::ApiRequest;
use runnel_tests::{
    binary::Binary,
    browser::{Browser, in_browser},
    for_each_role,
    metrics::Metrics,
    server::{Role, TestServer},
    wire::{self, PROTOCOLS, Protocol, frame},
};
use runnel_web::api::ApiClient;
use tonic::{Code, transport::Endpoint};

for_each_role! {
    without_a_named_origin_no_other_page_may_call_and_native_clients_may,
    a_named_origin_is_granted_its_preflight_and_may_read_status_and_metadata,
    a_pattern_of_origins_and_of_hosts_lets_one_label_vary_and_no_more,
    every_preflight_of_a_named_origin_is_granted_so_that_an_unknown_method_is_no_fault_of_cors,
    a_page_of_ours_is_known_by_what_a_trusted_proxy_was_called_by,
    on_loopback_a_rebound_name_reaches_neither_the_page_nor_the_api_nor_the_admin_port,
}

const APP: &str = "https://app.example";

fn named(origin: &str) -> ServeConfig {
    let cors_origin = vec![origin.parse().unwrap()];
    let access = AccessConfig { cors_origin, ..AccessConfig::default() };
    ServeConfig { access, ..ServeConfig::default() }
}

fn call(protocol: Protocol, headers: &[(&str, &str)]) -> Request<Bytes> {
    let body = protocol.encode(frame(&ApiRequest { length: 1, after: 0 }));
    let mut request =
        Request::post("/api.Api/getAll").header(header::CONTENT_TYPE, protocol.content_type());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

fn preflight(origin: &str) -> Request<Bytes> {
    preflight_of("/api.Api/getAll", origin)
}

fn preflight_of(path: &str, origin: &str) -> Request<Bytes> {
    Request::builder()
        .method(Method::OPTIONS)
        .uri(path)
        .header(header::ORIGIN, origin)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "content-type,x-grpc-web,x-mine")
        .body(Bytes::new())
        .unwrap()
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> String {
    let values: Vec<_> =
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
    values.join(", ").to_ascii_lowercase()
}

async fn without_a_named_origin_no_other_page_may_call_and_native_clients_may(role: Role) {
    let server = role.start(ServeConfig::default()).await;
    let own = server.url();
    let foreign: [&[(&str, &str)]; 3] = [
        &[("origin", APP)],
        &[("origin", APP), ("sec-fetch-site", "cross-site")],
        &[("origin", "null")],
    ];
    for protocol in PROTOCOLS {
        for headers in foreign {
            let answer = wire::send(server.address(), protocol, call(protocol, headers)).await;
            assert_eq!(answer.code(), Some(Code::PermissionDenied), "{protocol:?} {headers:?}");
            assert!(answer.message().contains("--cors-origin"), "{}", answer.message());
            assert!(!answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
        }
        let ours: [&[(&str, &str)]; 3] =
            [&[], &[("origin", &own)], &[("origin", &own), ("sec-fetch-site", "same-origin")]];
        for headers in ours {
            let answer = wire::send(server.address(), protocol, call(protocol, headers)).await;
            assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?} {headers:?}");
        }
    }
    // No preflight is granted.
    let refused = wire::http1_request(server.address(), preflight(APP)).await;
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(!refused.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));

    let metrics = Metrics::read_until(server.admin_address(), "the refusals", |metrics| {
        metrics.sum("grpc_server_handled_total", &[]) >= 18
    })
    .await;
    assert_eq!(metrics.sum("runnel_calls_refused_total", &["bound=\"cors_origin\""]), 9);
    server.stop().await;
}

async fn a_pattern_of_origins_and_of_hosts_lets_one_label_vary_and_no_more(role: Role) {
    let access = AccessConfig {
        cors_origin: vec!["https://*.preview.example".parse().unwrap()],
        allow_host: vec!["*.tunnel.example".into()],
        ..AccessConfig::default()
    };
    let server = role.start(ServeConfig { access, ..ServeConfig::default() }).await;
    let preview = "https://pull-7.preview.example";
    let granted = wire::http1_request(server.address(), preflight(preview)).await;
    assert_eq!(granted.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], preview);
    assert!(text(granted.headers(), header::VARY).contains("origin"));
    for protocol in PROTOCOLS {
        let request = call(protocol, &[("origin", preview), ("sec-fetch-site", "cross-site")]);
        let answer = wire::send(server.address(), protocol, request).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?}");
    }
    for origin in [
        "https://preview.example",
        "https://a.b.preview.example",
        "http://a.preview.example",
        "https://a.preview.example:8443",
        "https://a.preview.example.evil.example",
    ] {
        let refused = wire::http1_request(server.address(), preflight(origin)).await;
        assert!(!refused.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{origin}");
        let request = call(Protocol::GrpcWeb, &[("origin", origin)]);
        let answer = wire::send(server.address(), Protocol::GrpcWeb, request).await;
        assert_eq!(answer.code(), Some(Code::PermissionDenied), "{origin}");
    }
    for (host, status) in [
        ("a.tunnel.example", StatusCode::NOT_FOUND),
        ("tunnel.example", StatusCode::MISDIRECTED_REQUEST),
        ("a.b.tunnel.example", StatusCode::MISDIRECTED_REQUEST),
    ] {
        let request = Request::get("/none.css").header(header::HOST, host).body(Bytes::new());
        let answer = wire::http1_request(server.address(), request.unwrap()).await;
        assert_eq!(answer.status(), status, "{host}");
    }
    server.stop().await;
}

async fn a_named_origin_is_granted_its_preflight_and_may_read_status_and_metadata(role: Role) {
    let server = role.start(named(APP)).await;
    let granted = wire::http1_request(server.address(), preflight(APP)).await;
    assert_eq!(granted.status(), StatusCode::OK);
    let headers = granted.headers();
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], APP);
    assert_eq!(text(headers, header::ACCESS_CONTROL_ALLOW_METHODS), "post");
    let allowed = text(headers, header::ACCESS_CONTROL_ALLOW_HEADERS);
    assert_eq!(allowed, "content-type,x-grpc-web,x-mine");
    assert!(text(headers, header::VARY).contains("origin"));
    assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));

    for protocol in [Protocol::GrpcWeb, Protocol::GrpcWebText] {
        let request = call(protocol, &[("origin", APP), ("sec-fetch-site", "cross-site")]);
        let answer = wire::send(server.address(), protocol, request).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?}");
        assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], APP);
        assert!(text(&answer.headers, header::VARY).contains("origin"));
        let exposed = text(&answer.headers, header::ACCESS_CONTROL_EXPOSE_HEADERS);
        for name in ["grpc-status", "grpc-message", "grpc-status-details-bin", "*"] {
            assert!(exposed.split(',').any(|exposed| exposed.trim() == name), "{exposed}");
        }
    }

    // The others are where they were.
    for origin in ["https://evil.example", "http://app.example", "https://app.example:8443"] {
        let refused = wire::http1_request(server.address(), preflight(origin)).await;
        assert!(!refused.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{origin}");
        let request = call(Protocol::GrpcWeb, &[("origin", origin)]);
        let answer = wire::send(server.address(), Protocol::GrpcWeb, request).await;
        assert_eq!(answer.code(), Some(Code::PermissionDenied), "{origin}");
        assert!(!answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{origin}");
    }
    server.stop().await;
}

async fn every_preflight_of_a_named_origin_is_granted_so_that_an_unknown_method_is_no_fault_of_cors(
    role: Role,
) {
    let server = role.start(named(APP)).await;
    for path in
        ["/v1/grpc/shop.v1.Catalogue/Get", "/no.such.Service/Get", "/Plain/Get", "/one", "/"]
    {
        let granted = wire::http1_request(server.address(), preflight_of(path, APP)).await;
        assert_eq!(granted.status(), StatusCode::OK, "{path}");
        assert_eq!(granted.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], APP, "{path}");

        let mut post = call(Protocol::GrpcWeb, &[("origin", APP)]);
        *post.uri_mut() = path.parse().unwrap();
        let answer = wire::send(server.address(), Protocol::GrpcWeb, post).await;
        assert_eq!(answer.code(), Some(Code::Unimplemented), "{path}");
        assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], APP, "{path}");

        let other = "https://evil.example";
        let refused = wire::http1_request(server.address(), preflight_of(path, other)).await;
        assert!(!refused.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{path}");
    }
    // Nor is a call to a host that is not ours.
    let elsewhere = call(Protocol::GrpcWeb, &[("origin", APP), ("host", "evil.example")]);
    let answer = wire::send(server.address(), Protocol::GrpcWeb, elsewhere).await;
    assert_eq!(answer.code(), Some(Code::PermissionDenied));
    assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], APP);
    server.stop().await;
}

/// A page whose name was rebound to 127.0.0.1 is of one origin with us, to its browser.
async fn on_loopback_a_rebound_name_reaches_neither_the_page_nor_the_api_nor_the_admin_port(
    role: Role,
) {
    let server = role.start(ServeConfig::default()).await;
    let rebound = format!("evil.example:{}", server.address().port());
    let of = |host: &str, method: Method, path: &str| {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/grpc-web")
            .body(Bytes::from(frame(&ApiRequest { length: 1, after: 0 })))
            .unwrap()
    };
    let mut page = of(&rebound, Method::GET, "/");
    page.headers_mut().remove(header::CONTENT_TYPE);
    for (address, request) in
        [(server.address(), page), (server.admin_address(), of(&rebound, Method::GET, "/metrics"))]
    {
        let path = request.uri().path().to_owned();
        let answer = wire::http1_request(address, request).await;
        assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST, "{path}");
    }
    // Behind a proxy that sends another host, so is every client: it reads why.
    let why = |message: &str| {
        assert!(message.contains("--allow-host evil.example"), "{message}");
    };
    for path in ["/api.Api/getAll", "/unknown"] {
        let request = of(&rebound, Method::POST, path);
        let answer = wire::send(server.address(), Protocol::GrpcWeb, request).await;
        assert_eq!(answer.code(), Some(Code::PermissionDenied), "{path}");
        why(&answer.message().replace("%20", " "));
    }
    let native = Endpoint::from_shared(server.url()).unwrap();
    let native = native.origin(format!("http://{rebound}").parse().unwrap()).connect_lazy();
    let refusal = ApiClient::new(native).say_hello("Gonzalo").await.unwrap_err();
    let CallError::Refused { code, message, .. } = refusal else { panic!("{refusal:?}") };
    assert_eq!(code, Code::PermissionDenied);
    why(&message);
    let refused = ["bound=\"allow_host\""];
    Metrics::read_until(server.admin_address(), "the refusals", |metrics| {
        metrics.sum("runnel_calls_refused_total", &refused) == 3
    })
    .await;
    for host in ["localhost", "localhost:1", "127.0.0.1", "[::1]:8080", "app.localhost"] {
        let request = of(host, Method::POST, "/api.Api/getAll");
        let answer = wire::send(server.address(), Protocol::GrpcWeb, request).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{host}");
    }
    server.stop().await;

    // Behind a proxy that keeps the host, as most do.
    let (allow_host, origin) = ("evil.example".into(), "http://evil.example:7".parse().unwrap());
    let allowed = AccessConfig { allow_host: vec![allow_host], ..AccessConfig::default() };
    let public = AccessConfig { public_origin: vec![origin], ..AccessConfig::default() };
    for access in [allowed, public] {
        let server = role.start(ServeConfig { access, ..ServeConfig::default() }).await;
        let request = of(&rebound, Method::POST, "/api.Api/getAll");
        let answer = wire::send(server.address(), Protocol::GrpcWeb, request).await;
        assert_eq!(answer.code(), Some(Code::Ok));
        server.stop().await;
    }
}

/// What no browser says of its page is in the headers that a proxy adds; only one that is trusted may.
async fn a_page_of_ours_is_known_by_what_a_trusted_proxy_was_called_by(role: Role) {
    let origin = ("origin", "http://app.example:8080");
    let said = ("x-forwarded-host", "app.example:8080");
    for (trusted, headers, code) in [
        (true, &[origin, said][..], Code::Ok),
        (false, &[origin, said], Code::PermissionDenied),
        (true, &[origin], Code::PermissionDenied),
        (true, &[("origin", "http://evil.example:8080"), said], Code::PermissionDenied),
        // What the browser says itself goes before.
        (true, &[origin, said, ("sec-fetch-site", "cross-site")], Code::PermissionDenied),
    ] {
        let proxies = if trusted { vec![IpAddr::from([127, 0, 0, 1]).into()] } else { vec![] };
        let mut config = ServeConfig::default();
        config.access.trusted_proxies = proxies;
        let server = role.start(config).await;
        let request = call(Protocol::GrpcWeb, headers);
        let answer = wire::send(server.address(), Protocol::GrpcWeb, request).await;
        assert_eq!(answer.code(), Some(code), "{trusted} {headers:?}");
        server.stop().await;
    }
}

/// In the page of one server: a call of another server's `getAll`. The bytes of its answer, or why
/// there are none.
fn fetch(url: &str) -> String {
    format!(
        "fetch('{url}/api.Api/getAll', {{
             method: 'POST',
             headers: {{ 'content-type': 'application/grpc-web+proto', 'x-grpc-web': '1' }},
             body: new Uint8Array([0, 0, 0, 0, 2, 8, 1]),
         }}).then(async answer => (await answer.arrayBuffer()).byteLength, error => String(error))
           .then(outcome => {{ window.outcome = outcome; }}), null"
    )
}

/// A page with no policy of its own about whom it may call: what is refused, the server refuses.
#[tokio::test]
async fn a_page_of_another_origin_calls_only_where_it_is_named() {
    let foreign = TestServer::start().await;
    // A 404 of the admin port is a page, too.
    let page_url = format!("http://{}", foreign.admin_address());
    let closed = Binary::start(&[]).await;
    let open = Binary::start(&["--cors-origin", &page_url]).await;
    in_browser(async move |page: Browser| {
        page.open(&page_url).await;
        page.eval(&fetch(&closed.url())).await;
        page.until("window.outcome !== undefined").await;
        assert_eq!(page.eval("window.outcome").await, "TypeError: Failed to fetch");

        page.eval("delete window.outcome").await;
        page.eval(&fetch(&open.url())).await;
        page.until("window.outcome !== undefined").await;
        // An item of 15 bytes in a message with its prefix, and the trailers.
        assert!(page.eval("window.outcome").await.as_u64().unwrap() > 15);
    })
    .await;
    foreign.stop().await;
}
