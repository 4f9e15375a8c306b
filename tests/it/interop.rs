//! The original contract in the library of the original service, `grpcio`: their client against our
//! server, our client against their server.

use futures_util::TryStreamExt as _;
use runnel_tests::{python, server::TestServer};
use runnel_web::api::{ApiClient, Item};
use serde_json::{Value, json};
use tonic::transport::Endpoint;

#[tokio::test]
async fn a_python_client_of_the_original_contract_works_unchanged() {
    let server = TestServer::start().await;
    let printed = python::run("client.py", &[&server.address().to_string()]).await;
    let answers: Value = serde_json::from_str(&printed).unwrap();

    let items = |n: i32| (1..=n).map(|id| json!([id, format!("name {id}")])).collect::<Value>();
    assert_eq!(answers["hello"], "Hello Gonzalo!");
    assert_eq!(answers["all"], items(10));
    assert_eq!(answers["stream"], items(5));
    assert_eq!(answers["gzip"], true);
    assert_eq!(answers["first_of_many"], json!([1, "name 1"]));
    assert_eq!(answers["negative"]["code"], "INVALID_ARGUMENT");
    assert_eq!(answers["too_large"]["code"], "RESOURCE_EXHAUSTED");
    assert_eq!(answers["unknown"]["code"], "UNIMPLEMENTED");
    assert_eq!(answers["health"], "SERVING");
    server.stop().await;
}

#[tokio::test]
async fn our_client_works_against_the_original_python_server() {
    let server = python::serve("server.py").await;
    let url = format!("http://127.0.0.1:{}", server.port);
    let client = ApiClient::new(Endpoint::from_shared(url).unwrap().connect_lazy());

    assert_eq!(client.say_hello("Gonzalo").await.unwrap(), "Hello Gonzalo!");
    let ten: Vec<Item> = (1..=10).map(|id| Item { id, name: format!("name {id}") }).collect();
    assert_eq!(client.get_all(10).await.unwrap(), ten);
    let stream: Vec<Item> = client.stream(10).into_stream().try_collect().await.unwrap();
    assert_eq!(stream, ten);
}
