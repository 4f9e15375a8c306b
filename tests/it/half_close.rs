//! Clients over HTTP/1.1 that send their request and close their side at once, as `nc -N` does: the
//! answer is for them all the same. (That one who has left is noticed, [`super::endings`] shows.)

use runnel::config::ServeConfig;
use runnel_protos::api::{ApiRequest, HelloRequest};
use runnel_tests::{
    for_each_role, patiently,
    server::{Role, TestServer},
    tls::{self, Authority, Files},
    wire::{frame, is_none_the_worse},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

for_each_role! {
    a_client_that_closes_its_side_gets_its_whole_answer,
    over_tls_it_gets_it_too,
}

/// Sends a request and closes this side; all that comes back.
async fn ask_and_close(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> String {
    stream.write_all(request).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    patiently("the end of the answer", stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn hello(name: &str) -> Vec<u8> {
    post("/api.Api/sayHello", &frame(&HelloRequest { name: name.into() }))
}

/// More than all buffers on the way hold, so that the end is read long before the answer's.
fn stream() -> Vec<u8> {
    post("/api.Api/getStream", &frame(&ApiRequest { length: 500_000, after: 0 }))
}

fn is_whole_stream(answer: &str) -> bool {
    answer.contains("name 500000") && answer.ends_with("grpc-status:0\r\n\r\n0\r\n\r\n")
}

async fn a_client_that_closes_its_side_gets_its_whole_answer(role: Role) {
    let server = role.start(ServeConfig::default()).await;
    let connect = async || TcpStream::connect(server.address()).await.unwrap();
    let answer = ask_and_close(connect().await, &hello("Gonzalo")).await;
    assert!(answer.contains("Hello Gonzalo!"), "{answer}");
    let answer = ask_and_close(connect().await, &stream()).await;
    assert!(is_whole_stream(&answer), "{} bytes", answer.len());
    // Requests that it sent before it had any answer count as well.
    let several = [hello("Ana"), stream(), hello("Eva")].concat();
    let answer = ask_and_close(connect().await, &several).await;
    assert!(answer.contains("Hello Ana!") && answer.contains("Hello Eva!"), "{}", answer.len());
    // And those for the page.
    let get = b"GET /no-such-file.css HTTP/1.1\r\nhost: localhost\r\n\r\n";
    assert!(ask_and_close(connect().await, get).await.starts_with("HTTP/1.1 404 "));
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

async fn over_tls_it_gets_it_too(role: Role) {
    let authority = Authority::new();
    let files = Files::new(&authority.issue());
    let server: TestServer =
        role.start(ServeConfig { tls: files.config(), ..ServeConfig::default() }).await;
    let client = authority.client(None, &["http/1.1"]);
    for (request, is_whole) in [
        (hello("Gonzalo"), (|answer| answer.contains("Hello Gonzalo!")) as fn(&str) -> bool),
        (stream(), is_whole_stream),
    ] {
        let connection = tls::connect(&client, server.address()).await.unwrap();
        let answer = ask_and_close(connection, &request).await;
        assert!(is_whole(&answer), "{} bytes", answer.len());
    }
    server.stop().await;
}
