//! The page, gRPC-Web and gRPC behind real proxies, as docs/OPERATING.md configures them: in the clear, on a
//! name that is not localhost, where browsers say least of where a call comes from.

use std::{fs, net::SocketAddr, path::Path};

use futures_util::TryStreamExt as _;
use runnel_client::CallError;
use runnel_tests::{
    binary::Binary,
    browser::{Browser, in_browser},
    proxies::{Proxy, free_address},
};
use runnel_web::api::{ApiClient, Item};
use serde_json::json;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use crate::browser::{ids, only_says, open_and_settle, until_state};

/// The lines between a fence of this language and the next, in the documentation of proxies.
fn snippet(language: &str) -> String {
    block(&section(), language)
}

/// The same, where a proxy mounts the server below a path.
fn snippet_below_a_path(language: &str) -> String {
    block(section().split_once("\n### Below a path\n").unwrap().1, language)
}

fn section() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/OPERATING.md");
    let text = fs::read_to_string(file).unwrap();
    let (_, section) = text.split_once("\n## Behind a proxy\n").unwrap();
    section.split_once("\n## ").unwrap().0.to_owned()
}

fn block(text: &str, language: &str) -> String {
    let (_, block) = text.split_once(&format!("\n```{language}\n")).unwrap();
    block.split_once("```\n").unwrap().0.to_owned()
}

/// The same text with another part in place of one that it has.
fn with(text: &str, before: &str, after: &str) -> String {
    assert!(text.contains(before), "there is no {before:?} in\n{text}");
    text.replace(before, after)
}

/// A server as the documentation starts it, on a free port.
async fn documented_server() -> Binary {
    start(&snippet("sh")).await
}

/// What a command of the documentation starts, on a free port.
async fn start(command: &str) -> Binary {
    let mut words = command.split_whitespace();
    assert_eq!(
        words.by_ref().take(3).collect::<Vec<_>>(),
        ["runnel", "--listen", "127.0.0.1:8080"]
    );
    Binary::start(&words.collect::<Vec<_>>()).await
}

/// The documented nginx in front of a server: for browsers, and for native clients.
struct Nginx {
    web: SocketAddr,
    grpc: SocketAddr,
    configuration: String,
}

impl Nginx {
    async fn before(server: &Binary) -> Self {
        let (web, grpc) = (free_address().await, free_address().await);
        let text = with(&snippet("nginx"), "127.0.0.1:8080", &server.address().to_string());
        let text = with(&text, "listen 80;", &format!("listen {web};"));
        let configuration = with(&text, "listen 50051 ", &format!("listen {grpc} "));
        Self { web, grpc, configuration }
    }

    /// Mounts the server as this block says, and no longer at the root.
    fn mount(&mut self, location: &str) {
        let (before, rest) = self.configuration.split_once("    location / {\n").unwrap();
        let (_, after) = rest.split_once("    }\n").unwrap();
        self.configuration = [before, location, after].concat();
    }

    async fn start(&self) -> Proxy {
        Proxy::nginx(&self.configuration, self.web).await
    }
}

/// Where people open the page.
fn url(proxy: SocketAddr) -> String {
    format!("http://app.example:{}", proxy.port())
}

fn channel(proxy: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{proxy}")).unwrap();
    endpoint.origin(url(proxy).parse().unwrap()).connect_lazy()
}

async fn every_native_call_answers(proxy: SocketAddr) {
    let client = ApiClient::new(channel(proxy));
    assert_eq!(client.say_hello("Gonzalo").await.unwrap(), "Hello Gonzalo!");
    assert_eq!(client.get_all(10).await.unwrap().len(), 10);
    let items: Vec<Item> = client.stream(1000).into_stream().try_collect().await.unwrap();
    assert_eq!(items.len(), 1000);
}

/// All three RPCs, and a stream that is stopped half-way.
async fn every_call_of_the_page_answers(page: &Browser, url: &str, server: &mut Binary) {
    open_and_settle(page, url).await;
    page.until_text("greeting", "Hello Gonzalo!").await;
    assert_eq!(page.eval(&ids("all-list")).await, json!((1..=10).collect::<Vec<_>>()));
    assert_eq!(page.eval(&ids("stream-list")).await, json!([1, 2, 3, 4, 5]));
    // What makes this the hard case: the browser does not say that the page is ours.
    assert_eq!(page.eval("isSecureContext").await, json!(false));
    assert_eq!(server.call_line("getStream").await["code"], "OK");

    // Rows are there while the stream is open: nobody holds it back.
    page.fill("stream-length", "10000000").await;
    page.click("stream-start").await;
    page.until(&format!("{}.length > 5", ids("stream-list"))).await;
    page.click("stream-stop").await;
    until_state(page, "stream-list", "stopped").await;
    assert_eq!(server.call_line("getStream").await["code"], "CANCELLED");
    // In the clear, Chromium says that it does not heed one of the page's headers.
    only_says(page, "Cross-Origin-Opener-Policy header has been ignored").await;
}

async fn answers_behind(page_at: SocketAddr, grpc_at: SocketAddr, mut server: Binary) {
    every_native_call_answers(grpc_at).await;
    for expected in ["getAll", "getStream"] {
        assert_eq!(server.call_line(expected).await["protocol"], "grpc");
    }
    in_browser(async move |page: Browser| {
        every_call_of_the_page_answers(&page, &url(page_at), &mut server).await;
    })
    .await;
}

#[tokio::test]
async fn behind_the_documented_nginx_the_page_and_native_clients_call() {
    let server = documented_server().await;
    let nginx = Nginx::before(&server).await;
    let _proxy = nginx.start().await;
    answers_behind(nginx.web, nginx.grpc, server).await;
}

#[tokio::test]
async fn behind_the_documented_haproxy_the_page_and_native_clients_call() {
    let server = documented_server().await;
    let address = free_address().await;
    let text = with(&snippet("haproxy"), "127.0.0.1:8080", &server.address().to_string());
    let _proxy =
        Proxy::haproxy(&with(&text, "bind :80\n", &format!("bind {address}\n")), address).await;
    answers_behind(address, address, server).await;
}

#[tokio::test]
async fn behind_the_documented_caddy_the_page_and_native_clients_call() {
    let server = documented_server().await;
    let address = free_address().await;
    let text = with(&snippet("caddyfile"), "127.0.0.1:8080", &server.address().to_string());
    let text = with(&text, "http://app.example {", &format!("{} {{", url(address)));
    // Its own admin port is one for all.
    let text = with(&text, "\tservers {", "\tadmin off\n\tdefault_bind 127.0.0.1\n\tservers {");
    let _proxy = Proxy::caddy(&text, address).await;
    answers_behind(address, address, server).await;
}

/// Below a path that nginx takes away, and below one that it passes on.
#[tokio::test]
async fn below_a_path_of_the_documented_nginx_the_page_calls() {
    let taken_away = snippet_below_a_path("nginx");
    let passed_on = with(&taken_away, "proxy_pass http://runnel/;", "proxy_pass http://runnel;");
    in_browser(async move |page: Browser| {
        for (location, command) in
            [(taken_away, snippet("sh")), (passed_on, snippet_below_a_path("sh"))]
        {
            let mut server = start(&command).await;
            let mut nginx = Nginx::before(&server).await;
            nginx.mount(&location);
            let _proxy = nginx.start().await;
            every_native_call_answers(nginx.grpc).await;
            for expected in ["getAll", "getStream"] {
                server.call_line(expected).await;
            }
            // Without a slash, at the root of the page, and at a place deep in it.
            for place in ["/runnel", "/runnel/", "/runnel/stream/42"] {
                let url = format!("{}{place}", url(nginx.web));
                every_call_of_the_page_answers(&page, &url, &mut server).await;
            }
        }
    })
    .await;
}

/// What people write who have not read the documentation: the port is lost, or only said elsewhere.
#[tokio::test]
async fn behind_an_nginx_that_changes_the_host_but_tells_the_page_calls() {
    const HOST: &str = "proxy_set_header Host $http_host;";
    const SAID: &str = "proxy_set_header X-Forwarded-Host $http_host;";
    in_browser(async move |page: Browser| {
        for (host, said) in [
            ("proxy_set_header Host $host;", ""),
            ("proxy_set_header Host 127.0.0.1:9;", SAID),
            (
                "proxy_set_header Host 127.0.0.1:9;",
                "proxy_set_header Forwarded 'for=192.0.2.1;host=\"$http_host\"';",
            ),
        ] {
            let mut server = documented_server().await;
            let mut nginx = Nginx::before(&server).await;
            let text = with(&nginx.configuration, HOST, host);
            nginx.configuration = with(&text, SAID, said);
            let _proxy = nginx.start().await;
            every_call_of_the_page_answers(&page, &url(nginx.web), &mut server).await;
        }
    })
    .await;
}

/// nginx without a word about the host puts the upstream's name there: nobody can know whose page it is.
#[tokio::test]
async fn behind_an_nginx_that_hides_the_host_the_refusal_names_the_option_that_helps() {
    let without_the_host = |nginx: &mut Nginx| {
        for line in ["proxy_set_header", "grpc_set_header"] {
            for name in ["Host", "X-Forwarded-Host"] {
                let line = format!("{line} {name} $http_host;");
                nginx.configuration = with(&nginx.configuration, &line, "");
            }
        }
    };
    let server = Binary::start(&[]).await;
    let mut nginx = Nginx::before(&server).await;
    without_the_host(&mut nginx);
    let proxy = nginx.start().await;
    let refusal = ApiClient::new(channel(nginx.grpc)).say_hello("Gonzalo").await.unwrap_err();
    let CallError::Refused { code, message, .. } = refusal else { panic!("{refusal:?}") };
    assert_eq!(code, Code::PermissionDenied);
    assert!(message.contains("--allow-host runnel-grpc"), "{message}");
    in_browser(async move |page: Browser| {
        page.open(&url(nginx.web)).await;
        page.until("document.body.innerText.includes('--allow-host runnel ')").await;
        only_says(&page, "421").await;
        drop((proxy, server));

        // Told of the host that nginx sends, it does not yet know its own page.
        let server = Binary::start(&["--allow-host", "runnel"]).await;
        let mut nginx = Nginx::before(&server).await;
        without_the_host(&mut nginx);
        let proxy = nginx.start().await;
        page.open(&url(nginx.web)).await;
        page.until_text("hello-error", "PERMISSION_DENIED").await;
        page.until_text("hello-error", "--public-origin").await;
        page.until_text("hello-error", &url(nginx.web)).await;
        page.console().await;
        drop((proxy, server));

        let web = free_address().await;
        let mut server =
            Binary::start(&["--allow-host", "runnel", "--public-origin", &url(web)]).await;
        let mut nginx = Nginx::before(&server).await;
        without_the_host(&mut nginx);
        let listens = nginx.web.to_string();
        nginx.configuration = with(&nginx.configuration, &listens, &web.to_string());
        nginx.web = web;
        let _proxy = nginx.start().await;
        every_call_of_the_page_answers(&page, &url(web), &mut server).await;
    })
    .await;
}
