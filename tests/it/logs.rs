//! What is logged, and that nothing of it is lost, nor waited for.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, header};
use runnel_protos::api::{ApiRequest, HelloRequest};
use runnel_tests::{
    binary::Binary,
    metrics::Metrics,
    wire::{self, Protocol, call, frame},
};
use runnel_web::api::ApiClient;
use tonic::transport::Endpoint;

#[tokio::test]
async fn a_call_is_one_log_line_with_its_trace_and_without_its_payload() {
    let mut binary = Binary::start(&[]).await;
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let hello = Request::post("/api.Api/sayHello")
        .header(header::CONTENT_TYPE, "application/grpc-web")
        .header("traceparent", format!("00-{trace_id}-00f067aa0ba902b7-01"))
        .body(Bytes::from(frame(&HelloRequest { name: "private".into() })))
        .unwrap();
    wire::send(binary.address(), Protocol::GrpcWeb, hello).await;
    let line = binary.call_line("sayHello").await;
    assert_eq!(line["protocol"], "grpc-web");
    assert_eq!(line["code"], "OK");
    assert_eq!(line["trace_id"], trace_id);
    assert_eq!((&line["received_messages"], &line["sent_messages"]), (&1.into(), &1.into()));
    assert_eq!(line["received_bytes"], 5 + 2 + "private".len());
    assert_eq!(line["sent_bytes"], 5 + 2 + "Hello private!".len());
    assert!(line["duration_ms"].as_f64().unwrap() > 0.0, "{line}");
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    assert!(!line.to_string().contains("private"), "{line}");

    // A path is the client's to choose; what is logged of it is bounded.
    let path = format!("/api.Api/{}", "x".repeat(5000));
    call(binary.address(), Protocol::Grpc, &path, frame(&ApiRequest { length: 1, after: 0 })).await;
    let line = binary
        .log("the unknown call", |line| (line["code"] == "UNIMPLEMENTED").then(|| line.clone()))
        .await;
    assert_eq!(line["method"], path[..128]);
    assert_eq!(line["trace_id"], serde_json::Value::Null);
}

#[tokio::test]
async fn whoever_looks_closely_is_told_of_requests_that_are_no_calls() {
    let mut binary = Binary::start_after("export RUST_LOG=runnel=debug", &[]).await;
    let path = format!("/api.Api/{}", "x".repeat(5000));
    let request = Request::put(&path).body(Bytes::new()).unwrap();
    wire::http1_request(binary.address(), request).await;
    let told =
        |line: &serde_json::Value| (line["message"] == "refused a request").then(|| line.clone());
    let line = binary.log("the refusal", told).await;
    assert_eq!((&line["method"], &line["status"]), (&"PUT".into(), &405.into()));
    assert_eq!(line["path"], path[..128]);
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
}

/// Lines are written by another thread, some time later; the end of the process waits for it.
#[tokio::test]
async fn no_line_is_lost_at_the_end() {
    for signals in [1, 2] {
        let mut binary = Binary::start(&["--drain-deadline", "1h"]).await;
        let channel = Endpoint::from_shared(binary.url()).unwrap().connect_lazy();
        let client = ApiClient::new(channel);
        for _ in 0..100 {
            client.get_all(1).await.unwrap();
        }
        // Open at the end, so that a second signal is needed.
        let mut open = Some((client.get_stream(i32::MAX).await.unwrap(), client));
        binary.signal("TERM").await;
        let mut calls = 100;
        if signals == 2 {
            calls = 0; // read on the way to this line
            let drain = |line: &serde_json::Value| (line["message"] == "draining").then_some(());
            binary.log("the drain", drain).await;
            binary.signal("TERM").await;
        }
        if signals == 1 {
            open.take();
        }
        let lines = binary.rest_of_log().await;
        let is_call = |line: &&serde_json::Value| line["method"] == "/api.Api/getAll";
        assert_eq!(lines.iter().filter(is_call).count(), calls);
        let last = if signals == 1 { "drained" } else { "second signal: ending at once" };
        assert_eq!(lines.last().unwrap()["message"], last);
    }
}

/// A reader of the log that is stuck must not stop the server; what it misses is counted.
#[tokio::test]
async fn a_log_that_nobody_reads_holds_nothing_up_and_its_lost_lines_are_counted() {
    let mut binary = Binary::start(&[]).await;
    let channel = Endpoint::from_shared(binary.url()).unwrap().connect_lazy();
    let client = ApiClient::new(channel);
    // More lines than the queue and the pipe hold.
    let answered = stream::iter(0..20_000)
        .map(|_| client.get_all(1))
        .buffer_unordered(50)
        .filter(|answer| std::future::ready(answer.is_ok()))
        .count()
        .await;
    assert_eq!(answered, 20_000);
    let metrics = Metrics::read(binary.admin_address().unwrap()).await;
    let dropped = metrics.sum("runnel_log_lines_dropped", &[]);
    assert!((1..20_000).contains(&dropped), "{dropped}");
    binary.signal("TERM").await;
    assert_eq!(binary.exit().await.code(), Some(0));
}
