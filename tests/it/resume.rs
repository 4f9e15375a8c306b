//! Streams that break on the way: through a proxy that cuts, stalls and resets them, their reader still
//! gets every item once and in order.

use std::{ops::RangeInclusive, time::Duration};

use futures_util::{StreamExt as _, stream};
use runnel_client::{Backoff, CallError, Policy, Transport};
use runnel_tests::{
    fault_proxy::{Fault, FaultProxy},
    patiently, python,
    server::TestServer,
    transport,
};
use runnel_web::api::{ApiClient, ItemStream};
use tonic::transport::Endpoint;

/// A policy for connections that break all the time, and have no time to lose.
fn hasty() -> Policy {
    let ms = Duration::from_millis;
    let mut policy = Policy::default();
    policy.backoff = Backoff { base: ms(1), max: ms(5) };
    policy.stall = ms(300);
    policy.patience = runnel_tests::PATIENCE;
    policy
}

async fn ids(mut items: ItemStream<impl Transport>) -> Result<Vec<i32>, CallError> {
    let mut ids = Vec::new();
    while let Some(item) = items.next().await {
        ids.push(item?.id);
    }
    Ok(ids)
}

/// Any schedule of faults that ends. What fails names its seed, to be run alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_the_items_come_once_and_in_order() {
    const SEEDS: RangeInclusive<u64> = 1..=3000;
    const AT_ONCE: usize = 48;
    let servers = [TestServer::start().await, TestServer::start().await];
    let addresses = servers.each_ref().map(TestServer::address);

    stream::iter(SEEDS)
        .for_each_concurrent(AT_ONCE, async |seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            let length = rng.i32(0..2000);
            let bytes = usize::try_from(length).unwrap() * 25 + 600;
            let faults: Vec<_> =
                (0..rng.usize(..8)).map(|_| Fault::random(&mut rng, bytes)).collect();

            let proxy = FaultProxy::start(&addresses).await;
            proxy.inject(faults.clone());
            let client = ApiClient::new(transport::grpc_web(&proxy.url())).with_policy(hasty());
            let ids = patiently(&format!("schedule {seed}"), ids(client.stream(length))).await;
            let ids = ids.unwrap_or_else(|error| panic!("schedule {seed}: {error}: {faults:?}"));
            assert!(ids.into_iter().eq(1..=length), "schedule {seed}: {faults:?}");
        })
        .await;
    for server in servers {
        server.stop().await;
    }
}

/// The original service knows no `after`, and starts again at 1.
#[tokio::test]
async fn a_stream_of_the_original_python_server_is_resumed_too() {
    let server = python::serve("server.py").await;
    let proxy = FaultProxy::start(&[([127, 0, 0, 1], server.port).into()]).await;
    let client = ApiClient::new(Endpoint::from_shared(proxy.url()).unwrap().connect_lazy());
    let mut policy = hasty();
    policy.stall = runnel_tests::PATIENCE;
    let client = client.with_policy(policy);
    // Each goes somewhat further than the one before; the last goes through.
    proxy.inject([2_000, 3_000, 9_000].map(|after| Fault::Cut { after }));
    let ids = patiently("the items", ids(client.stream(1000))).await;
    assert_eq!(ids, Ok((1..=1000).collect()));
    assert_eq!(proxy.faults_left(), 0, "it was cut three times");

    let page = client.get_page(3, 4).await.unwrap();
    assert_eq!(page.iter().map(|item| item.id).collect::<Vec<_>>(), [5, 6, 7]);
}

#[tokio::test]
async fn pages_come_after_the_item_that_is_named() {
    let server = TestServer::start().await;
    let page = server.client().get_page(3, 4).await.unwrap();
    assert_eq!(page.iter().map(|item| item.id).collect::<Vec<_>>(), [5, 6, 7]);
    server.stop().await;
}
