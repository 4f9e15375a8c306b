//! Calls that end early, and readers that stop: the backend's handler notices.

use std::{pin::pin, time::Duration};

use futures_util::{StreamExt as _, stream};
use http::{Request, header};
use http_body_util::BodyExt as _;
use runnel_tests::{
    patiently,
    python::PythonServer,
    server::TestServer,
    wire::{self, Protocol, frame},
};
use tokio::net::TcpStream;
use tonic::{client::Grpc, codec::Streaming, transport::Channel};
use tonic_prost::ProstCodec;

use super::{Answer, Ask, handlers, handlers_until, rich_and_front};

/// Large enough that no buffer on the way holds the whole of it.
const ENDLESS: Ask = Ask {
    messages: 1_000_000,
    message_bytes: 10_000,
    code: 0,
    text: String::new(),
    details: Vec::new(),
    wait: false,
    metadata: false,
    payload: Vec::new(),
};

async fn web_stream(front: &TestServer, ask: &Ask) -> http::Response<hyper::body::Incoming> {
    let post = Request::post("/rich.Rich/ServerStream")
        .header(header::CONTENT_TYPE, Protocol::GrpcWeb.content_type())
        .body(frame(ask).into())
        .unwrap();
    wire::http1_request(front.address(), post).await
}

async fn native(
    front: &TestServer,
    path: &'static str,
    asks: impl futures_util::Stream<Item = Ask> + Send + 'static,
) -> Streaming<Answer> {
    let mut client: Grpc<Channel> = Grpc::new(front.channel());
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(path);
    let codec = ProstCodec::<Ask, Answer>::default();
    let call = client.streaming(tonic::Request::new(asks), path, codec);
    patiently("an answer", call).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_cancelled_browser_stream_ends_the_backends_handler() {
    let (rich, front) = rich_and_front().await;
    let waiting = Ask { messages: 1, wait: true, ..Ask::default() };
    let mut response = web_stream(&front, &waiting).await;
    let first = patiently("the first message", response.frame()).await;
    assert!(first.unwrap().unwrap().is_data());
    assert_eq!(handlers(&rich).await.running, 1);
    drop(response);
    handlers_until(&rich, "gone", |handlers| handlers.running == 0).await;
    front.stop().await;
}

/// With its request finished and without: by hand, because tonic's client resets no call whose request
/// goes on.
#[tokio::test]
async fn a_cancelled_native_call_ends_the_backends_handler() {
    let (rich, front) = rich_and_front().await;
    let stream = TcpStream::connect(front.address()).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    for (method, finished) in [("ServerStream", true), ("Bidi", false)] {
        let post = Request::post(format!("{}/rich.Rich/{method}", front.url()))
            .header(header::CONTENT_TYPE, Protocol::Grpc.content_type())
            .header(header::TE, "trailers")
            .body(())
            .unwrap();
        let mut client = client.clone().ready().await.unwrap();
        let (answer, mut asks) = client.send_request(post, false).unwrap();
        let ask = Ask { messages: 1, wait: true, ..Ask::default() };
        asks.send_data(frame(&ask).into(), finished).unwrap();
        let mut answer = patiently("an answer", answer).await.unwrap().into_body();
        patiently("the first message", answer.data()).await.unwrap().unwrap();
        assert_eq!(handlers(&rich).await.running, 1, "{method}");
        drop((asks, answer));
        handlers_until(&rich, "gone", |handlers| handlers.running == 0).await;
    }
    connection.abort();
    front.stop().await;
}

/// Before anything is answered, too: dropping the call drops the request.
#[tokio::test]
async fn a_call_cancelled_before_its_answer_ends_the_backends_handler() {
    let (rich, front) = rich_and_front().await;
    let silent = Ask { wait: true, ..Ask::default() };
    {
        let mut call = pin!(web_stream(&front, &silent));
        let running = handlers_until(&rich, "running", |handlers| handlers.running == 1);
        tokio::select! {
            _ = &mut call => panic!("it waits"),
            () = running => {}
        }
    }
    handlers_until(&rich, "gone", |handlers| handlers.running == 0).await;
    front.stop().await;
}

/// Messages pass one by one in both directions, each before the next is made.
#[tokio::test]
async fn a_conversation_goes_back_and_forth() {
    let (_rich, front) = rich_and_front().await;
    let (asks, receiver) = tokio::sync::mpsc::channel(1);
    let receiver = stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|ask| (ask, receiver))
    });
    asks.send(Ask { messages: 1, ..Ask::default() }).await.unwrap();
    let mut answers = native(&front, "/rich.Rich/Bidi", receiver.boxed()).await;
    for round in 0..10_u8 {
        let answer = patiently("an answer", answers.message()).await.unwrap().unwrap();
        assert_eq!(answer.payload, if round == 0 { vec![] } else { vec![round] });
        asks.send(Ask { payload: vec![round + 1], ..Ask::default() }).await.unwrap();
    }
    drop(asks);
    patiently("the last answer", answers.message()).await.unwrap().unwrap();
    assert_eq!(patiently("the end", answers.message()).await.unwrap(), None);
    front.stop().await;
}

/// How much the handlers have produced, once they produce no more.
async fn stands_still(rich: &PythonServer) -> i64 {
    patiently("standing still", async {
        let mut last = (0, 0);
        loop {
            let produced = handlers(rich).await.produced_messages;
            let unchanged = if produced == last.0 && produced > 0 { last.1 + 1 } else { 0 };
            if unchanged == 20 {
                return produced;
            }
            last = (produced, unchanged);
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    })
    .await
}

/// Ten gigabytes are asked for. What the kernel and the windows hold is a few megabytes.
#[tokio::test]
async fn a_reader_that_stops_stops_the_backends_handler() {
    let (rich, front) = rich_and_front().await;
    let mut response = web_stream(&front, &ENDLESS).await;
    let produced = stands_still(&rich).await;
    assert!(produced < 3_000, "{produced} messages of 10 kB");
    // It reads on, and so does everyone behind it.
    let mut read_bytes = 0;
    while read_bytes < 100_000_000 {
        let frame = patiently("more", response.frame()).await.unwrap().unwrap();
        read_bytes += frame.data_ref().map_or(0, bytes::Bytes::len);
    }
    assert!(handlers(&rich).await.produced_messages > 9_000);
    drop(response);
    handlers_until(&rich, "gone", |handlers| handlers.running == 0).await;

    let answers = native(&front, "/rich.Rich/ServerStream", stream::iter([ENDLESS])).await;
    let before = handlers(&rich).await.produced_messages;
    let produced = stands_still(&rich).await - before;
    assert!(produced < 3_000, "{produced} messages of 10 kB");
    drop(answers);
    front.stop().await;
}

/// The streams of all clients share a connection to the backend. Were its window as small as that of a
/// stream, a few readers that stopped would hold up everyone.
#[tokio::test]
async fn readers_that_stop_hold_up_nobody_else() {
    let (rich, front) = rich_and_front().await;
    let mut stopped = Vec::new();
    for _ in 0..20 {
        stopped.push(web_stream(&front, &ENDLESS).await);
    }
    stands_still(&rich).await;
    let ask = frame(&Ask { messages: 1, message_bytes: 1_000_000, ..Ask::default() });
    for protocol in wire::PROTOCOLS {
        let answer = wire::call(front.address(), protocol, "/rich.Rich/Unary", ask.clone()).await;
        assert_eq!(answer.decode::<Answer>()[0].payload.len(), 1_000_000, "{protocol:?}");
    }
    drop(stopped);
    front.stop().await;
}
