//! The process: its command line, its signals, its exit codes.

use std::process::Stdio;

use runnel_protos::api::ApiRequest;
use runnel_tests::{
    binary::{self, Binary},
    patiently,
    wire::{self, Protocol, frame, is_none_the_worse},
};
use runnel_web::api::ApiClient;
use tonic::{Code, transport::Endpoint};

#[tokio::test]
async fn sigterm_and_sigint_end_it_with_exit_code_0() {
    for signal in ["TERM", "INT"] {
        let mut binary = Binary::start(&[]).await;
        binary.signal(signal).await;
        assert_eq!(binary.exit().await.code(), Some(0), "{signal}");
    }
}

/// What others send to servers that read files or write logs.
#[tokio::test]
async fn signals_that_ask_for_nothing_here_are_told_and_end_nothing() {
    let mut binary = Binary::start(&[]).await;
    for signal in ["HUP", "USR1", "USR2"] {
        binary.signal(signal).await;
        let named = format!("SIG{signal}: ");
        let is_about_it = |line: &serde_json::Value| {
            line["message"].as_str().is_some_and(|text| text.starts_with(&named)).then_some(())
        };
        binary.log(&named, is_about_it).await;
    }
    is_none_the_worse(binary.address()).await;
    binary.signal("TERM").await;
    assert_eq!(binary.exit().await.code(), Some(0));
}

#[tokio::test]
async fn sigterm_ends_it_cleanly_while_a_stream_is_open() {
    let mut binary = Binary::start(&["--drain-deadline", "200ms"]).await;
    let channel = Endpoint::from_shared(binary.url()).unwrap().connect_lazy();
    let mut stream = ApiClient::new(channel).get_stream(i32::MAX).await.unwrap();
    stream.next().await.unwrap().unwrap();

    binary.signal("TERM").await;
    assert_eq!(binary.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    // A drain that would outlast the patience of the test.
    let mut binary = Binary::start(&["--drain-deadline", "1h"]).await;
    let channel = Endpoint::from_shared(binary.url()).unwrap().connect_lazy();
    let mut stream = ApiClient::new(channel).get_stream(i32::MAX).await.unwrap();
    stream.next().await.unwrap().unwrap();

    binary.signal("TERM").await;
    binary.log("the drain", |line| (line["message"] == "draining").then_some(())).await;
    binary.signal("TERM").await;
    assert_eq!(binary.exit().await.code(), Some(1));
}

#[tokio::test]
async fn a_call_already_begun_is_finished_during_the_drain() {
    let mut binary = Binary::start(&["--drain-deadline", "1h"]).await;
    let channel = Endpoint::from_shared(binary.url()).unwrap().connect_lazy();
    // More than every buffer on the way holds, so that the server is still at it.
    let mut stream = ApiClient::new(channel).get_stream(1_000_000).await.unwrap();
    stream.next().await.unwrap().unwrap();

    binary.signal("TERM").await;
    binary.log("the drain", |line| (line["message"] == "draining").then_some(())).await;
    let mut items = 1;
    while let Some(item) = stream.next().await {
        item.unwrap();
        items += 1;
    }
    assert_eq!(items, 1_000_000);
    assert_eq!(binary.exit().await.code(), Some(0));
}

#[tokio::test]
async fn healthcheck_tells_a_live_server_from_a_dead_one() {
    let healthcheck = async |address: String| {
        let mut command = binary::command();
        let output = command.args(["healthcheck", "--listen", &address]).output();
        patiently("the health check", output).await.unwrap()
    };
    let mut binary = Binary::start(&[]).await;
    let address = binary.address();
    let on_loopback = healthcheck(address.to_string()).await;
    assert_eq!(on_loopback.status.code(), Some(0), "{on_loopback:?}");
    // As in the container, where RUNNEL_LISTEN is an unspecified address.
    let unspecified = healthcheck(format!("0.0.0.0:{}", address.port())).await;
    assert_eq!(unspecified.status.code(), Some(0), "{unspecified:?}");

    binary.signal("TERM").await;
    binary.exit().await;
    let dead = healthcheck(address.to_string()).await;
    assert_eq!(dead.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&dead.stderr).contains("cannot reach"), "{dead:?}");
}

/// `NAME=` gives nothing. The names are those that `--help` tells.
#[tokio::test]
async fn no_variable_that_is_set_to_nothing_keeps_it_from_starting() {
    let help = patiently("help", binary::command().arg("--help").output()).await.unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let names = help.split("[env: ").skip(1).filter_map(|rest| rest.split_once('='));
    let names: Vec<_> =
        names.map(|(name, _)| name).filter(|name| *name != "RUNNEL_LISTEN").collect();
    assert!(names.len() > 30 && names.contains(&"BACKEND_PORT"), "{names:?}");
    let empty = names.iter().map(|name| format!("export {name}=")).collect::<Vec<_>>().join("; ");
    let mut binary = Binary::start_after(&empty, &[]).await;
    is_none_the_worse(binary.address()).await;
    assert_eq!(binary.admin_address(), None, "there, nothing is something");
    binary.signal("TERM").await;
    assert_eq!(binary.exit().await.code(), Some(0));
}

/// The container's address.
#[tokio::test]
async fn a_client_over_ipv4_is_logged_as_one_and_a_health_check_finds_the_server() {
    let mut binary = Binary::start(&["--listen", "[::]:0"]).await;
    let port = binary.address().port();
    let address = ([127, 0, 0, 1], port).into();
    let request = frame(&ApiRequest { length: 1, after: 0 });
    let answer = wire::call(address, Protocol::Grpc, "/api.Api/getAll", request).await;
    assert_eq!(answer.code(), Some(Code::Ok));
    let line = binary.call_line("getAll").await;
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    for listen in ["[::]", "0.0.0.0", "127.0.0.1"] {
        let listen = format!("{listen}:{port}");
        let mut command = binary::command();
        let output = command.args(["healthcheck", "--listen", &listen]).output();
        let output = patiently("the health check", output).await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

/// As where IPv6 is off: only IPv4 answers.
#[tokio::test]
async fn a_health_check_of_every_address_asks_over_ipv4_too() {
    let binary = Binary::start(&[]).await;
    let mut command = binary::command();
    let listen = format!("[::]:{}", binary.address().port());
    let output = command.args(["healthcheck", "--listen", &listen]).output();
    let output = patiently("the health check", output).await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[tokio::test]
async fn an_address_in_use_is_exit_code_1_and_says_so() {
    let binary = Binary::start(&[]).await;
    let mut command = binary::command();
    let second = command.args(["--listen", &binary.address().to_string()]).output();
    let second = patiently("the second server's end", second).await.unwrap();
    assert_eq!(second.status.code(), Some(1));
    let words = String::from_utf8_lossy(&second.stderr);
    assert!(words.contains("cannot listen on"), "{words}");
}

#[tokio::test]
async fn bad_usage_is_exit_code_2_and_help_shows_every_default() {
    let run = async |args: &[&str]| {
        let mut command = binary::command();
        let output = command.args(args).stdin(Stdio::null()).output();
        patiently("the end", output).await.unwrap()
    };
    assert_eq!(run(&["--listen", "nowhere"]).await.status.code(), Some(2));
    assert_eq!(run(&["--no-such-flag"]).await.status.code(), Some(2));

    let help = run(&["--help"]).await;
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8(help.stdout).unwrap();
    for word in ["RUNNEL_LISTEN", "127.0.0.1:8080", "RUNNEL_DRAIN_DEADLINE", "10s", "healthcheck"] {
        assert!(help.contains(word), "--help does not show {word}:\n{help}");
    }
}

#[tokio::test]
async fn the_environment_configures_it_like_flags_do() {
    let output = binary::command().env("RUNNEL_LISTEN", "nowhere").output();
    let output = patiently("the end", output).await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere"));
}
