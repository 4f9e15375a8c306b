//! Encryption: what is spoken over it, who may connect, and certificates that are renewed while the
//! server runs.

use std::{fs, net::SocketAddr, os::unix::fs::symlink, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use runnel::config::{ConnectionsConfig, ServeConfig, TlsConfig};
use runnel_protos::api::{ApiRequest, HelloRequest, Item};
use runnel_tests::{
    binary::{self, Binary},
    for_each_role, http2, patiently,
    server::{Role, TestServer},
    tls::{Authority, Files, Identity, connect},
    waiting::{self, Event::Began},
    wire::{self, Answer, PROTOCOLS, Protocol, frame},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::Code;

for_each_role! {
    every_protocol_is_spoken_over_tls,
    streams_over_tls_are_told_of_the_shutdown_too,
    a_large_message_passes_either_way,
    a_client_without_a_certificate_of_the_right_authority_is_turned_away,
}

const ALL: &str = "/api.Api/getAll";
const STREAM: &str = "/api.Api/getStream";

async fn start(role: Role, tls: TlsConfig) -> TestServer {
    role.start(ServeConfig { tls, ..ServeConfig::default() }).await
}

fn items(length: i32) -> Vec<u8> {
    frame(&ApiRequest { length, after: 0 })
}

/// The version of HTTP that a protocol is spoken over here.
const fn alpn(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Grpc => "h2",
        Protocol::GrpcWeb | Protocol::GrpcWebText => "http/1.1",
    }
}

async fn call(
    address: SocketAddr,
    client: &TlsConnector,
    protocol: Protocol,
    path: &str,
    body: Vec<u8>,
) -> Answer {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, protocol.content_type())
        .body(protocol.encode(body))
        .unwrap();
    let stream = connect(client, address).await.unwrap();
    let response = match protocol {
        Protocol::Grpc => wire::http2_over(stream, address, request).await,
        _ => wire::http1_over(stream, address, request).await,
    };
    wire::answer(response).await
}

async fn answers_a_call(address: SocketAddr, client: &TlsConnector) {
    let answer = call(address, client, Protocol::Grpc, ALL, items(1)).await;
    assert_eq!(answer.code(), Some(Code::Ok));
}

async fn every_protocol_is_spoken_over_tls(role: Role) {
    let authority = Authority::new();
    let files = Files::new(&authority.issue());
    let server = start(role, files.config()).await;
    for protocol in PROTOCOLS {
        let client = authority.client(None, &[alpn(protocol)]);
        let answer = call(server.address(), &client, protocol, STREAM, items(10_000)).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?}");
        assert_eq!(answer.decode::<Item>().len(), 10_000, "{protocol:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_version_of_http_is_the_best_that_the_client_knows() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue());
    let server = start(Role::Answers, files.config()).await;
    for (offered, chosen) in [
        (&["http/1.1", "h2"][..], Some(&b"h2"[..])),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let client = authority.client(None, offered);
        let stream = connect(&client, server.address()).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen, "{offered:?}");
        if chosen.is_none() {
            // Who offers nothing is an old client of HTTP/1.1.
            let get = Request::get("/nothing.css").body(Bytes::new()).unwrap();
            let response = wire::http1_over(stream, server.address(), get).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND);
        }
    }
    let client = authority.client(None, &["spdy/3"]);
    connect(&client, server.address()).await.unwrap_err();
    server.stop().await;
}

#[tokio::test]
async fn who_speaks_http_on_a_tls_port_is_told_so() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue());
    let server = start(Role::Answers, files.config()).await;
    for beginning in [b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", http2::PREFACE] {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        let mut answer = String::new();
        patiently("an answer", stream.read_to_string(&mut answer)).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{answer}");
        assert!(body.contains("https://"), "{answer}");
    }
    answers_a_call(server.address(), &authority.client(None, &["h2"])).await;
    server.stop().await;
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_ended() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue());
    let handshake_timeout = Duration::from_millis(500);
    let config = ServeConfig {
        connections: ConnectionsConfig { handshake_timeout, ..ConnectionsConfig::default() },
        tls: files.config(),
        ..ServeConfig::default()
    };
    let server = TestServer::start_with(config).await;
    for beginning in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        let mut answer = Vec::new();
        patiently("the end", stream.read_to_end(&mut answer)).await.unwrap();
        assert_eq!(answer, b"", "{beginning:?}");
    }
    answers_a_call(server.address(), &authority.client(None, &["h2"])).await;
    server.stop().await;
}

async fn a_client_without_a_certificate_of_the_right_authority_is_turned_away(role: Role) {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let files = Files::new(&authority.issue());
    let server = start(role, files.config_for_clients_of(&clients)).await;
    for identity in [None, Some(strangers.issue())] {
        let client = authority.client(identity.as_ref(), &["h2"]);
        // In TLS 1.3 the client has ended its handshake before it is judged.
        let read = match connect(&client, server.address()).await {
            Ok(mut stream) => patiently("the end", stream.read_u8()).await.map(drop),
            Err(refused) => Err(refused),
        };
        assert!(read.unwrap_err().to_string().contains("alert"), "{identity:?}");
    }
    let welcome = clients.issue();
    answers_a_call(server.address(), &authority.client(Some(&welcome), &["h2"])).await;
    server.stop().await;
}

/// The first certificate that a server shows.
async fn shown(address: SocketAddr, client: &TlsConnector) -> Vec<u8> {
    certificate(&connect(client, address).await.unwrap())
}

fn certificate(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

async fn until_another_is_shown(address: SocketAddr, client: &TlsConnector, old: &[u8]) {
    patiently("the new certificate", async {
        while shown(address, client).await == old {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// As Kubernetes does it: the files are links through a link, and that one is swapped.
#[tokio::test]
async fn a_new_certificate_is_found_and_a_broken_one_changes_nothing() {
    let authority = Authority::new();
    let [first, second, third] = [(); 3].map(|()| Files::new(&authority.issue()));
    fs::write(second.path().join("key.pem"), "no key").unwrap();
    let mount = tempfile::tempdir().unwrap();
    let at = |name: &str| mount.path().join(name);
    let turn_to = |files: &Files| {
        symlink(files.path(), at("new")).unwrap();
        fs::rename(at("new"), at("..data")).unwrap();
    };
    turn_to(&first);
    let tls = TlsConfig {
        tls_cert: Some(at("..data/cert.pem")),
        tls_key: Some(at("..data/key.pem")),
        tls_reload_interval: Duration::from_millis(10),
        ..TlsConfig::default()
    };
    let server = start(Role::Answers, tls).await;
    let client = authority.client(None, &["http/1.1"]);
    let mut open = connect(&client, server.address()).await.unwrap();
    let old = certificate(&open);

    turn_to(&second);
    // It has been looked at when what comes after it has.
    for _ in 0..20 {
        assert_eq!(shown(server.address(), &client).await, old);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    turn_to(&third);
    until_another_is_shown(server.address(), &client, &old).await;

    // What was open is as it was.
    open.write_all(b"GET /nothing.css HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    patiently("an answer", open.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");
    drop(open);
    server.stop().await;
}

async fn start_binary(files: &Files, more: &[&str]) -> Binary {
    let args = files.args();
    let args: Vec<_> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Binary::start(&args).await
}

#[tokio::test]
async fn sighup_has_the_certificate_looked_at() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue());
    let mut binary = start_binary(&files, &["--tls-reload-interval", "1h"]).await;
    let client = authority.client(None, &["h2"]);
    let old = shown(binary.address(), &client).await;
    let hang_up = async |binary: &mut Binary, says: &str| {
        binary.signal("HUP").await;
        let find = |line: &serde_json::Value| Some(line["message"].as_str()?.to_owned());
        let logged = |line: &serde_json::Value| find(line).filter(|message| message.contains(says));
        binary.log(says, logged).await
    };
    let broken = Identity { cert: "nothing".to_owned(), ..authority.issue() };
    files.write(&broken);
    let said = hang_up(&mut binary, "the certificate stays as it was").await;
    assert!(said.contains("cert.pem"), "{said}");
    assert_eq!(shown(binary.address(), &client).await, old);

    files.write(&authority.issue());
    hang_up(&mut binary, "loaded the certificate anew").await;
    assert_ne!(shown(binary.address(), &client).await, old);
    binary.signal("TERM").await;
    assert_eq!(binary.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_exit_code_1_and_names_the_file() {
    let authority = Authority::new();
    let good = authority.issue();
    let another = authority.issue();
    for (identity, named) in [
        (Identity { cert: "nothing".to_owned(), ..good.clone() }, "cert.pem"),
        (Identity { key: String::new(), ..good.clone() }, "key.pem"),
        (Identity { key: another.key, ..good }, "cert.pem"),
    ] {
        let files = Files::new(&identity);
        let output =
            binary::command().args(["--listen", "127.0.0.1:0"]).args(files.args()).output();
        let output = patiently("the end", output).await.unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(named), "{output:?}");
    }
}

/// Made by `openssl ecparam -name secp521r1 -genkey` and `openssl pkcs8 -topk8`; they open nothing.
const P521_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MIHuAgEAMBAGByqGSM49AgEGBSuBBAAjBIHWMIHTAgEBBEIBZyRM8+OZll/vHNTP\n\
    eT21ge9kRlKlipmYk1/xCco9pRs6P3oucN3t6ooJvNkxVKiAyvun8vzvUQEaRP1p\n\
    PH0oXZehgYkDgYYABAEtKyXjYbwOjtPthzaqOVI2acegjo97Sdm3xm3Ne8RG6adH\n\
    uyzbMaFsMNlk2qL2k54MnPa8kxJSjdz69kHtWMulsQGtC7WFZsX/cz6snXKu5D2Y\n\
    HsUyBQyEs55T/J614DZR9doeGyxH2OUegXlNpdx+pvPSpVwwrbUjpjyP3VlbsAIz\n\
    kA==\n\
    -----END PRIVATE KEY-----\n";

const ENCRYPTED_KEY: &str =
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";

#[tokio::test]
async fn a_key_that_is_not_supported_is_told_with_its_kind_and_what_to_do() {
    let good = Authority::new().issue();
    for (key, says) in [(P521_KEY, "P-521"), (ENCRYPTED_KEY, "without a password")] {
        let files = Files::new(&Identity { key: key.to_owned(), ..good.clone() });
        let output =
            binary::command().args(["--listen", "127.0.0.1:0"]).args(files.args()).output();
        let output = patiently("the end", output).await.unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(words.contains("key.pem") && words.contains(says), "{words}");
    }
}

#[tokio::test]
async fn the_health_check_speaks_tls_and_shows_a_certificate_if_one_is_needed() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue());
    let client_ca = files.config_for_clients_of(&authority).tls_client_ca.unwrap();
    let client_ca = ["--tls-client-ca", client_ca.to_str().unwrap()];
    for more in [&[][..], &client_ca] {
        let binary = start_binary(&files, more).await;
        let address = binary.address().to_string();
        let mut command = binary::command();
        let output =
            command.args(["healthcheck", "--listen", &address]).args(files.args()).args(more);
        let output = patiently("the health check", output.output()).await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

async fn streams_over_tls_are_told_of_the_shutdown_too(role: Role) {
    let authority = Authority::new();
    let files = Files::new(&authority.issue());
    let config = ServeConfig {
        drain_deadline: Duration::from_millis(500),
        tls: files.config(),
        ..ServeConfig::default()
    };
    for protocol in PROTOCOLS {
        let (services, mut events) = waiting::services();
        let mut server = role.start_services(services, config.clone()).await;
        let (address, client) = (server.address(), authority.client(None, &[alpn(protocol)]));
        let open = async move { call(address, &client, protocol, STREAM, items(3)).await };
        let open = tokio::spawn(open);
        events.expect(Began).await;
        server.begin_shutdown();
        let answer = patiently("the end of the stream", open).await.unwrap();
        assert_eq!(answer.code(), Some(Code::Unavailable), "{protocol:?}");
        assert_eq!(answer.decode::<Item>().len(), 3, "{protocol:?}");
        server.ended().await;
    }
}

/// A large answer leaves no buffer empty on its way.
async fn a_large_message_passes_either_way(role: Role) {
    let authority = Authority::new();
    let files = Files::new(&authority.issue());
    let server = start(role, files.config()).await;
    let name = "x".repeat(4_000_000);
    for protocol in PROTOCOLS {
        let client = authority.client(None, &[alpn(protocol)]);
        let hello = frame(&HelloRequest { name: name.clone() });
        let answer = call(server.address(), &client, protocol, "/api.Api/sayHello", hello).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?}");
        assert!(answer.messages[0].len() > name.len());
    }
    server.stop().await;
}
