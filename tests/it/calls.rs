//! The page's client against the production server, over gRPC and over gRPC-Web.

use futures_util::TryStreamExt as _;
use runnel_client::{CallError, Transport};
use runnel_tests::{server::TestServer, transport};
use runnel_web::api::{ApiClient, Item};
use tonic::Code;

/// The same calls over whatever transport.
async fn every_call_answers(client: ApiClient<impl Transport>) {
    assert_eq!(client.say_hello("Gonzalo").await.unwrap(), "Hello Gonzalo!");
    assert_eq!(client.say_hello("").await.unwrap(), "Hello !");

    let ten = client.get_all(10).await.unwrap();
    assert_eq!(ten, items(1..=10));
    assert_eq!(client.get_all(0).await.unwrap(), []);

    let five: Vec<Item> = client.stream(5).into_stream().try_collect().await.unwrap();
    assert_eq!(five, items(1..=5));
    let none: Vec<Item> = client.stream(0).into_stream().try_collect().await.unwrap();
    assert_eq!(none, []);
}

fn items(ids: impl Iterator<Item = i32>) -> Vec<Item> {
    ids.map(|id| Item { id, name: format!("name {id}") }).collect()
}

#[tokio::test]
async fn every_call_answers_over_grpc() {
    let server = TestServer::start().await;
    every_call_answers(server.client()).await;
    server.stop().await;
}

#[tokio::test]
async fn every_call_answers_over_grpc_web() {
    let server = TestServer::start().await;
    every_call_answers(ApiClient::new(transport::grpc_web(&server.url()))).await;
    server.stop().await;
}

#[tokio::test]
async fn a_refusal_reaches_the_page_with_its_field() {
    let server = TestServer::start().await;
    let client = ApiClient::new(transport::grpc_web(&server.url()));
    let all = client.get_all(-1).await.unwrap_err();
    let stream = client.get_stream(-1).await.unwrap_err();
    for refusal in [all, stream] {
        let CallError::Refused { code, message, violations, .. } = refusal else {
            panic!("not a refusal: {refusal:?}");
        };
        assert_eq!(
            (code, message.as_str()),
            (Code::InvalidArgument, "length must be 0 or more, not -1")
        );
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].field, "length");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let server = TestServer::start().await;
    let url = server.url();
    let native = server.client();
    server.stop().await;

    let grpc_web = ApiClient::new(transport::grpc_web(&url));
    for error in
        [native.say_hello("x").await.unwrap_err(), grpc_web.say_hello("x").await.unwrap_err()]
    {
        assert!(error.did_not_begin(), "there was nothing to send it on: {error:?}");
    }
}

/// The first items come while nearly all of the stream is still to be made: it is never held whole.
/// All items there are would take 47 GB.
#[tokio::test]
async fn the_longest_stream_begins_at_once() {
    let server = TestServer::start().await;
    let mut stream = server.client().get_stream(i32::MAX).await.unwrap();
    for expected in items(1..=1000) {
        assert_eq!(stream.next().await.unwrap().unwrap(), expected);
    }
    drop(stream);
    server.stop().await;
}

#[tokio::test]
async fn a_hundred_thousand_items_come_in_order_and_whole() {
    let server = TestServer::start().await;
    let client = ApiClient::new(transport::grpc_web(&server.url()));
    let mut stream = client.get_stream(100_000).await.unwrap();
    let mut last = 0;
    while let Some(item) = stream.next().await {
        last += 1;
        assert_eq!(item.unwrap(), Item { id: last, name: format!("name {last}") });
    }
    assert_eq!(last, 100_000);
    server.stop().await;
}
