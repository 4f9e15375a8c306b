//! Each driver, small, against the two servers of this crate: do they speak the contract to the byte,
//! and does the client notice when one does not? How fast is nothing a test could say.

use std::{io, net::SocketAddr};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use runnel_bench::{
    client::{Caller, Wire},
    contract::Call,
    limit, memory,
    plain::{self, Source},
    unary,
};
use tokio::net::TcpListener;

const ITEMS: i32 = 1_000;
const WIRES: [Wire; 3] = [Wire::WebHttp1, Wire::WebHttp2, Wire::Grpc];

async fn servers() -> io::Result<[(&'static str, SocketAddr); 3]> {
    let limit = TcpListener::bind("127.0.0.1:0").await?;
    let tonic = TcpListener::bind("127.0.0.1:0").await?;
    let unpausing = TcpListener::bind("127.0.0.1:0").await?;
    let addresses = [
        ("limit", limit.local_addr()?),
        ("tonic", tonic.local_addr()?),
        ("tonic, unpausing", unpausing.local_addr()?),
    ];
    tokio::spawn(limit::serve(limit, calls().into()));
    tokio::spawn(plain::serve(tonic, Source::Pausing));
    tokio::spawn(plain::serve(unpausing, Source::Unpausing));
    Ok(addresses)
}

fn calls() -> [Call; 3] {
    [Call::say_hello(), Call::get_all(), Call::get_stream(ITEMS)]
}

#[tokio::test]
async fn every_server_answers_every_call_on_every_wire() {
    for (server, address) in servers().await.unwrap() {
        for wire in WIRES {
            let mut caller = Caller::connect(address, wire).await.unwrap();
            for call in calls() {
                let outcome = caller.call(&call).await;
                outcome.unwrap_or_else(|error| panic!("{server}, {}: {error:#}", wire.name()));
            }
        }
    }
}

#[tokio::test]
async fn the_bytes_of_every_server_are_the_contract() {
    for (server, address) in servers().await.unwrap() {
        for wire in [Wire::WebHttp1, Wire::WebHttp2] {
            let mut caller = Caller::connect(address, wire).await.unwrap();
            for call in calls() {
                let body = caller.send(&call).await.unwrap().into_body();
                let bytes = body.collect().await.unwrap().to_bytes();
                let (messages, trailers) = bytes.split_at(call.answer.len());
                assert!(messages == call.answer, "{server}, {}: {}", wire.name(), call.path);
                assert_eq!(trailers[0], 0x80, "{server}, {}: {}", wire.name(), call.path);
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_too_short_or_too_long_is_an_error() {
    for (server, address) in servers().await.unwrap() {
        for wire in WIRES {
            let mut caller = Caller::connect(address, wire).await.unwrap();
            for wrong in [[&Call::get_all().answer[..], &[0; 5]].concat(), Vec::new()] {
                let call = Call { answer: Bytes::from(wrong), ..Call::get_all() };
                assert!(caller.call(&call).await.is_err(), "{server}, {}", wire.name());
            }
        }
    }
}

#[tokio::test]
async fn many_callers_make_many_calls() {
    for (_, address) in servers().await.unwrap() {
        for wire in [Wire::WebHttp1, Wire::Grpc] {
            for call in [Call::say_hello(), Call::get_all()] {
                let callers = Caller::connect_many(address, wire, 4).await.unwrap();
                let outcome = unary::run(callers, &call, 5).await.unwrap();
                assert_eq!(outcome.callers.len(), 4);
                assert!(outcome.p99 <= outcome.time);
            }
        }
    }
}

#[tokio::test]
async fn readers_stop_and_the_server_answers_others() {
    // The limit has no endless stream.
    for (_, address) in servers().await.unwrap().into_iter().skip(1) {
        let slow = [memory::Stall::Http1Slow, memory::Stall::Http2Slow];
        for stall in memory::STALLS.into_iter().chain(slow) {
            let stalled = memory::stall(address, None, stall, 3).await.unwrap();
            let mut caller = Caller::connect(address, stall.wire()).await.unwrap();
            caller.call(&Call::get_all()).await.unwrap();
            drop(stalled);
        }
    }
}
