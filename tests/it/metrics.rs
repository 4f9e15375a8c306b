//! What is counted of each call.

use std::{collections::BTreeSet, fs, path::Path};

use bytes::Bytes;
use http::{Request, header};
use runnel::config::{BackendConfig, ServeConfig};
use runnel_protos::api::{ApiRequest, HelloRequest};
use runnel_tests::{
    metrics::Metrics,
    patiently,
    server::TestServer,
    waiting::{self, Event, length},
    wire::{self, PROTOCOLS, Protocol, call, frame},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

fn items(length: i32) -> Vec<u8> {
    frame(&ApiRequest { length, after: 0 })
}

const fn label(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Grpc => "protocol=\"grpc\"",
        Protocol::GrpcWeb => "protocol=\"grpc-web\"",
        Protocol::GrpcWebText => "protocol=\"grpc-web-text\"",
    }
}

#[tokio::test]
async fn every_call_is_counted_with_its_protocol_code_messages_and_bytes() {
    let server = TestServer::start().await;
    for protocol in PROTOCOLS {
        call(server.address(), protocol, "/api.Api/getStream", items(1000)).await;
        call(server.address(), protocol, "/api.Api/getAll", items(3)).await;
        call(server.address(), protocol, "/api.Api/getAll", items(-1)).await;
    }
    let metrics = Metrics::read_until(server.admin_address(), "nine calls", |metrics| {
        metrics.sum("grpc_server_handled_total", &[]) >= 9
    })
    .await;

    let method = |name: &'static str| ["grpc_service=\"api.Api\"", name];
    let (all, stream) = (method("grpc_method=\"getAll\""), method("grpc_method=\"getStream\""));
    for protocol in PROTOCOLS {
        let handled = |method: [&'static str; 2], code| {
            let labels = [&method[..], &[label(protocol), code]].concat();
            metrics.sum("grpc_server_handled_total", &labels)
        };
        assert_eq!(handled(stream, "grpc_code=\"OK\""), 1, "{protocol:?}");
        assert_eq!(handled(all, "grpc_code=\"OK\""), 1, "{protocol:?}");
        assert_eq!(handled(all, "grpc_code=\"INVALID_ARGUMENT\""), 1, "{protocol:?}");
        let started = metrics.sum("grpc_server_started_total", &[label(protocol)]);
        assert_eq!(started, 3, "{protocol:?}");
    }
    // A stream that writes its bytes itself, and answers of tonic's own: each knows its messages.
    assert_eq!(metrics.sum("grpc_server_msg_sent_total", &stream), 3 * 1000);
    assert_eq!(metrics.sum("grpc_server_msg_sent_total", &all), 3);
    assert_eq!(metrics.sum("grpc_server_msg_received_total", &all), 6);
    // Ids 1 to 9, 10 to 99, 100 to 127, 128 to 999 and 1000, with prefix, id, name; before any base64.
    let frame_bytes = 9 * 15 + 90 * 16 + 28 * 17 + 872 * 18 + 19;
    assert_eq!(metrics.sum("runnel_sent_bytes_total", &stream), 3 * frame_bytes);
    // A prefix and `length = 3`; -1 is a varint of ten bytes.
    assert_eq!(metrics.sum("runnel_received_bytes_total", &all), 3 * 7 + 3 * 16);
    // Each took its time.
    assert_eq!(metrics.sum("grpc_server_handling_seconds_count", &[]), 9);
    assert_eq!(metrics.sum("grpc_server_handling_seconds_bucket", &["le=\"+Inf\""]), 9);
    assert_eq!(metrics.sum("runnel_build_info", &[]), 1);
    server.stop().await;
}

#[tokio::test]
async fn unknown_methods_are_one_series_whatever_clients_call() {
    let server = TestServer::start().await;
    let series = |metrics: &Metrics| {
        metrics.series().map(|(series, _)| series.to_owned()).collect::<BTreeSet<_>>()
    };
    let unimplemented = ["grpc_method=\"unknown\"", "grpc_code=\"UNIMPLEMENTED\""];
    let after = async |calls: u32| {
        Metrics::read_until(server.admin_address(), "the calls", |metrics| {
            metrics.sum("grpc_server_handled_total", &unimplemented) >= i64::from(calls)
        })
        .await
    };
    call(server.address(), Protocol::GrpcWeb, "/api.Api/first", items(1)).await;
    let first = after(1).await;
    for number in 0..20 {
        for path in [format!("/api.Api/other{number}"), format!("/other.Service{number}/method")] {
            call(server.address(), Protocol::GrpcWeb, &path, items(1)).await;
        }
    }
    let last = after(41).await;
    assert_eq!(series(&first), series(&last));
    assert!(!last.text.contains("other") && !last.text.contains("first"), "{}", last.text);
    server.stop().await;
}

#[tokio::test]
async fn open_calls_cancelled_late_and_refused_ones_are_told_apart() {
    let (services, mut events) = waiting::services();
    let config = ServeConfig { max_streams: 1, ..ServeConfig::default() };
    let server = TestServer::start_services(services, config).await;
    let admin = server.admin_address();
    let open = |metrics: &Metrics| {
        ["kind=\"unary\"", "kind=\"stream\""].map(|kind| metrics.sum("runnel_open_calls", &[kind]))
    };

    let client = server.client();
    let mut stream = client.get_stream(1).await.unwrap();
    stream.next().await.unwrap().unwrap();
    events.expect(Event::Began).await;
    assert_eq!(open(&Metrics::read(admin).await), [0, 1]);

    call(server.address(), Protocol::GrpcWeb, "/api.Api/getStream", items(1)).await;
    let late = Request::post("/api.Api/sayHello")
        .header(header::CONTENT_TYPE, "application/grpc-web")
        .header("grpc-timeout", "500m")
        .body(Bytes::from(frame(&HelloRequest { name: String::new() })))
        .unwrap();
    wire::send(server.address(), Protocol::GrpcWeb, late).await;
    drop((stream, client));
    events.expect(Event::Began).await; // sayHello's

    let metrics = Metrics::read_until(admin, "every call's end", |metrics| {
        metrics.sum("grpc_server_handled_total", &[]) >= 3
    })
    .await;
    assert_eq!(open(&metrics), [0, 0]);
    let ended = |code| metrics.sum("grpc_server_handled_total", &[code]);
    assert_eq!(ended("grpc_code=\"CANCELLED\""), 1);
    assert_eq!(ended("grpc_code=\"RESOURCE_EXHAUSTED\""), 1);
    assert_eq!(ended("grpc_code=\"DEADLINE_EXCEEDED\""), 1);
    let refused = metrics.sum("runnel_calls_refused_total", &["bound=\"max_streams\""]);
    assert_eq!((refused, metrics.sum("runnel_calls_refused_total", &[])), (1, 1));
    server.stop().await;
}

/// Streams whose messages tonic encodes are counted too, and so is what was sent before a failure.
#[tokio::test]
async fn the_messages_of_a_stream_that_fails_are_counted_up_to_there() {
    let (services, _events) = waiting::services();
    let server = TestServer::start_services(services, ServeConfig::default()).await;
    call(server.address(), Protocol::GrpcWeb, "/api.Api/getStream", items(length::FAILING)).await;
    let metrics = Metrics::read_until(server.admin_address(), "the call's end", |metrics| {
        metrics.sum("grpc_server_handled_total", &["grpc_code=\"DATA_LOSS\""]) >= 1
    })
    .await;
    assert_eq!(metrics.sum("grpc_server_msg_sent_total", &["grpc_method=\"getStream\""]), 1);
    server.stop().await;
}

/// What is refused before it is a call, by us or by hyper.
#[tokio::test]
async fn a_request_that_is_neither_a_call_nor_for_the_page_is_counted_by_its_status() {
    let server = TestServer::start().await;
    let text = "content-type: text/plain\r\n";
    let long = format!("x: {}\r\n", "y".repeat(100_000));
    for (line, headers) in [
        ("GET /none.css", "host: localhost\r\n"),
        ("GET /api.Api/getAll", "host: localhost\r\n"),
        ("POST /api.Api/getAll", &format!("host: localhost\r\n{text}")),
        ("POST /api.Api/getAll", "host: localhost\r\ncontent-type: application/grpc\r\n"),
        ("GET /", "host: evil.example\r\n"),
        ("GET /", &long),
        ("nonsense", ""),
    ] {
        let request = format!("{line} HTTP/1.1\r\n{headers}content-length: 0\r\n\r\n");
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        // It may hang up in the middle of a head that is too long.
        let _ = stream.write_all(request.as_bytes()).await;
        patiently("an answer", stream.read_u8()).await.unwrap();
    }
    let errors =
        |metrics: &Metrics, labels: &[&str]| metrics.sum("runnel_http_errors_total", labels);
    let metrics = Metrics::read_until(server.admin_address(), "seven errors", |metrics| {
        errors(metrics, &[]) >= 7
    })
    .await;
    for status in [404, 405, 415, 505, 421, 431, 400] {
        assert_eq!(errors(&metrics, &[&format!("status=\"{status}\"")]), 1, "{status}");
    }
    assert_eq!(metrics.sum("grpc_server_started_total", &[]), 0);
    server.stop().await;
}

/// The dashboard and the operator's table name what there is, and the table all of it.
#[tokio::test]
async fn the_dashboard_and_the_documentation_know_the_metrics() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let (dashboard, table) = (read("deploy/grafana-dashboard.json"), read("docs/OPERATING.md"));
    // One that forwards has every metric, and its backend is not there.
    let backend = BackendConfig {
        backend: vec!["http://127.0.0.1:1".parse().unwrap()],
        ..BackendConfig::default()
    };
    let config = ServeConfig { backend, ..ServeConfig::default() };
    let server = TestServer::start_with(config).await;
    call(server.address(), Protocol::Grpc, "/api.Api/getAll", items(1)).await;
    let metrics = Metrics::read_until(server.admin_address(), "a failed call", |metrics| {
        metrics.sum("runnel_backend_down_total", &[]) > 0
            && metrics.sum("grpc_server_handled_total", &[]) > 0
    })
    .await;
    // A family without a series yet is not in the text.
    let later = [
        "runnel_calls_refused_total",
        "runnel_connections_refused_total",
        "runnel_backend_failures_total",
    ];
    let there: BTreeSet<_> = metrics
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .chain(later)
        .collect();
    let ours = |name: &&&str| !name.starts_with("process_");
    for name in there.iter().filter(ours) {
        assert!(table.contains(&format!("`{name}`")), "docs/OPERATING.md has no {name}");
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for (file, text) in [("the dashboard", &dashboard), ("docs/OPERATING.md", &table)] {
        for word in text.split(|c| !is_name(c)) {
            let begins = ["grpc_server_", "runnel_", "process_"];
            if begins.iter().any(|begin| word.starts_with(begin) && word != *begin) {
                let family = word.trim_end_matches("_bucket");
                assert!(there.contains(family), "{file} names {word}, which there is not");
            }
        }
    }
    server.stop().await;
}
