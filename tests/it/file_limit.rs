//! The limit of open files: raised to what the connections need, and survived where it cannot be.

use std::{net::SocketAddr, time::Instant};

use runnel_tests::{binary::Binary, patiently, wire::is_none_the_worse};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Connects, asks, and leaves the connection open.
async fn ask(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /none.css HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    stream
}

async fn is_answered(stream: &mut TcpStream) {
    let mut answer = [0; 12];
    patiently("an answer", stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");
}

#[tokio::test]
async fn the_soft_limit_is_raised_to_what_the_connections_need() {
    let args = ["--max-connections", "200"];
    let binary = Binary::start_after("ulimit -Sn 64", &args).await;
    let mut open = Vec::new();
    for _ in 0..200 {
        let mut stream = ask(binary.address()).await;
        is_answered(&mut stream).await;
        open.push(stream);
    }
    drop(open);
    assert!(binary.beginning_of_log().iter().all(|line| line["level"] != "WARN"));
}

#[tokio::test]
async fn a_hard_limit_that_is_too_low_is_told_and_connections_beyond_it_wait_their_turn() {
    let mut binary = Binary::start_after("ulimit -n 64", &["--max-connections", "200"]).await;
    let mut beginning = binary.beginning_of_log().iter().filter(|line| line["level"] == "WARN");
    let warning = beginning.next().unwrap()["message"].as_str().unwrap();
    assert!(warning.contains("--max-connections 200"), "{warning}");
    let address = binary.address();
    let began = Instant::now();
    let mut open = Vec::new();
    for _ in 0..100 {
        open.push(ask(address).await);
    }
    let is_stuck = |line: &serde_json::Value| {
        line["message"].as_str().is_some_and(|text| text.contains("cannot accept a connection"))
    };
    binary.log("that it is stuck", |line| is_stuck(line).then_some(())).await;
    // Those that were let in are served, the others once there is room for them.
    let mut late = open.split_off(50);
    is_answered(&mut open[0]).await;
    drop(open);
    for stream in &mut late {
        is_answered(stream).await;
    }
    drop(late);
    is_none_the_worse(address).await;
    binary.signal("TERM").await;
    assert!(binary.exit().await.success());
    // It tries ten times a second, and when a connection ends; it says so every ten seconds.
    let said = binary.rest_of_log().await.iter().filter(|line| is_stuck(line)).count();
    let allowed = began.elapsed().as_secs() / 10;
    assert!(said as u64 <= allowed, "{said} lines, {allowed} allowed");
}
