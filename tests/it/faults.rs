//! The page when things break: whatever happens on the way, its stream ends with every row, each once
//! and in order, and says what happened.

use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream};
use runnel::config::ServeConfig;
use runnel_protos::api::{
    ApiRequest, Hello, HelloRequest, Item, Items,
    api_server::{Api, ApiServer},
};
use runnel_rpc::Services;
use runnel_tests::{
    binary::Binary,
    browser::{Browser, in_browser},
    fault_proxy::{Fault, FaultProxy},
    metrics::Metrics,
    page::in_the_clear_and_over_tls,
    server::TestServer,
};
use serde_json::json;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    browser::{count, ids, only_says, open_and_settle, state, until_state},
    rows::{ends_with_every_row, status, stream},
};

async fn says_it_resumed(page: &Browser) {
    page.until_text("stream-status", "resumed").await;
}

#[tokio::test]
async fn a_score_of_fault_schedules_lose_and_double_nothing() {
    const LENGTH: u32 = 2000;
    const BYTES: usize = 44_000;
    let binaries = [Binary::start(&[]).await, Binary::start(&[]).await];
    let proxy = FaultProxy::start(&binaries.each_ref().map(Binary::address)).await;
    in_browser(async move |page: Browser| {
        open_and_settle(&page, &proxy.url()).await;
        for seed in 1..=20 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut faults: Vec<_> = (0..rng.usize(1..6))
                .map(|_| match Fault::random(&mut rng, BYTES) {
                    // The page waits long for a silent server: once is enough.
                    Fault::Stall { after } => Fault::Cut { after },
                    fault => fault,
                })
                .collect();
            if seed == 1 {
                faults.push(Fault::Stall { after: BYTES / 2 });
            }
            eprintln!("schedule {seed}: {faults:?}");
            proxy.inject(faults);
            stream(&page, LENGTH).await;
            ends_with_every_row(&page, LENGTH).await;
        }
    })
    .await;
}

/// So slow that a stream of a million items is not over before something happened to it.
const SLOW: Fault = Fault::Slow { bytes_per_second: 4_000_000 };

#[tokio::test]
async fn a_million_rows_outlive_the_death_of_their_server() {
    const LENGTH: u32 = 1_000_000;
    in_the_clear_and_over_tls(&[], async |page: Browser, mut binary: Binary| {
        let proxy = FaultProxy::start(&[binary.address()]).await;
        open_and_settle(&page, &proxy.url_of(&binary)).await;
        proxy.inject([SLOW; 10]);
        stream(&page, LENGTH).await;
        page.until(&format!("{} > 100000", count())).await;
        binary.signal("KILL").await;
        binary.exit().await;
        until_state(&page, "stream-list", "resuming").await;
        let rows = page.eval(&count()).await;
        assert!(rows.as_u64().unwrap() < u64::from(LENGTH), "it was over before: {rows}");

        let _back = binary.start_again().await;
        ends_with_every_row(&page, LENGTH).await;
        says_it_resumed(&page).await;
        only_says(&page, "net::ERR_").await;
    })
    .await;
}

/// A pause first holds the server back, and then lets the call go: for as long as it lasts, it takes
/// neither one of the browser's connections nor a place at the server.
#[tokio::test]
async fn a_paused_stream_stops_the_server_then_frees_it_and_goes_on_with_nothing_lost() {
    // Some 220 MB: more than all the buffers on the way hold. Chromium's own takes some 80.
    const LENGTH: u32 = 10_000_000;
    in_the_clear_and_over_tls(&[], async |page: Browser, mut binary: Binary| {
        let proxy = FaultProxy::start(&[binary.address()]).await;
        open_and_settle(&page, &proxy.url_of(&binary)).await;
        binary.call_line("getStream").await;
        // At this rate, a slow click comes in time.
        proxy.inject([Fault::Slow { bytes_per_second: 20_000_000 }; 10]);
        stream(&page, LENGTH).await;
        page.until(&format!("{} > 5", count())).await;
        page.click("stream-pause").await;
        until_state(&page, "stream-list", "paused").await;

        let line = binary.call_line("getStream").await;
        assert_eq!(line["code"], "CANCELLED", "{line}");
        let sent = line["sent_messages"].as_u64().unwrap();
        assert!(sent < u64::from(LENGTH), "the server did not wait: {line}");
        let rows = page.eval(&count()).await;
        assert!(rows.as_u64().unwrap() < sent, "the page did not wait: {rows}");
        until_state(&page, "stream-list", "paused").await;

        page.click("stream-resume").await;
        proxy.hurry();
        ends_with_every_row(&page, LENGTH).await;
        assert_eq!(status(&page).await, "Finished", "a pause is no break");
        only_says(&page, "net::ERR_").await;
    })
    .await;
}

/// Over HTTP/1.1 a browser opens six connections to a server, for all of its tabs.
#[tokio::test]
async fn six_tabs_with_paused_streams_leave_the_seventh_its_connection() {
    const LENGTH: u32 = 10_000_000;
    let binary = Binary::start(&[]).await;
    let admin = binary.admin_address().unwrap();
    in_browser(async move |page: Browser| {
        for _ in 1..=6 {
            page.open_tab().await;
            open_and_settle(&page, &binary.url()).await;
            stream(&page, LENGTH).await;
            page.until(&format!("{} > 5", count())).await;
            page.click("stream-pause").await;
            until_state(&page, "stream-list", "paused").await;
        }
        page.open_tab().await;
        open_and_settle(&page, &binary.url()).await;
        let paused = ["kind=\"stream\""];
        Metrics::read_until(admin, "the end of the paused streams", |metrics| {
            metrics.sum("runnel_open_calls", &paused) == 0
        })
        .await;
    })
    .await;
}

/// Many cut a connection that nothing moves on: a proxy, a server's limit, a sleeping laptop.
#[tokio::test]
async fn a_connection_that_dies_during_a_pause_is_resumed_after_it() {
    const LENGTH: u32 = 1_000_000;
    in_the_clear_and_over_tls(&[], async |page: Browser, binary: Binary| {
        let proxy = FaultProxy::start(&[binary.address()]).await;
        open_and_settle(&page, &proxy.url_of(&binary)).await;
        proxy.inject([SLOW; 10]);
        stream(&page, LENGTH).await;
        page.until(&format!("{} > 5", count())).await;
        page.click("stream-pause").await;
        until_state(&page, "stream-list", "paused").await;
        proxy.inject([]);
        page.click("stream-resume").await;
        ends_with_every_row(&page, LENGTH).await;
        says_it_resumed(&page).await;
        only_says(&page, "net::ERR_").await;
    })
    .await;
}

#[tokio::test]
async fn offline_it_waits_and_online_it_goes_on() {
    const LENGTH: u32 = 1_000_000;
    in_the_clear_and_over_tls(&[], async |page: Browser, binary: Binary| {
        let proxy = FaultProxy::start(&[binary.address()]).await;
        open_and_settle(&page, &proxy.url_of(&binary)).await;
        proxy.inject([SLOW; 10]);
        stream(&page, LENGTH).await;
        page.until(&format!("{} > 5", count())).await;
        page.set_online(false).await;
        proxy.inject([]);
        until_state(&page, "stream-list", "offline").await;
        page.set_online(true).await;
        ends_with_every_row(&page, LENGTH).await;
        says_it_resumed(&page).await;
        only_says(&page, "net::ERR_").await;
    })
    .await;
}

/// No frames are drawn and timers are slow, but the stream does not wait for either.
#[tokio::test]
async fn a_hidden_tab_receives_all_the_same() {
    const LENGTH: u32 = 1_000_000;
    in_the_clear_and_over_tls(&[], async |page: Browser, mut binary: Binary| {
        let proxy = FaultProxy::start(&[binary.address()]).await;
        open_and_settle(&page, &proxy.url_of(&binary)).await;
        binary.call_line("getStream").await;
        page.eval("document.addEventListener('visibilitychange', () => { window.hid = true; })")
            .await;
        proxy.inject([SLOW; 10]);
        stream(&page, LENGTH).await;
        until_state(&page, "stream-list", "streaming").await;
        let line = page.hidden_while(binary.call_line("getStream")).await;
        assert_eq!(line["code"], "OK", "{line}");
        assert_eq!(page.eval("window.hid").await, json!(true));
        ends_with_every_row(&page, LENGTH).await;
        only_says(&page, "net::ERR_").await;
    })
    .await;
}

/// Sends three items and says not to come back for an hour; after that it is as good as any.
struct Moody {
    in_a_mood: AtomicBool,
}

#[tonic::async_trait]
impl Api for Moody {
    async fn say_hello(&self, _: Request<HelloRequest>) -> Result<Response<Hello>, Status> {
        Ok(Response::new(Hello { message: "Hello".into() }))
    }

    async fn get_all(&self, _: Request<ApiRequest>) -> Result<Response<Items>, Status> {
        Ok(Response::new(Items::default()))
    }

    type getStreamStream = Pin<Box<dyn Stream<Item = Result<Item, Status>> + Send>>;

    async fn get_stream(
        &self,
        request: Request<ApiRequest>,
    ) -> Result<Response<Self::getStreamStream>, Status> {
        let ApiRequest { length, after } = request.into_inner();
        let item = |id| Ok(Item { id, name: format!("name {id}") });
        let items = stream::iter((after + 1..=after + length).map(item));
        if !self.in_a_mood.swap(false, Ordering::Relaxed) {
            return Ok(Response::new(items.boxed()));
        }
        let details = ErrorDetails::with_retry_info(Some(Duration::from_hours(1)));
        let refusal = Status::with_error_details(Code::Unavailable, "not before lunch", details);
        Ok(Response::new(items.take(3).chain(stream::iter([Err(refusal)])).boxed()))
    }
}

#[tokio::test]
async fn a_stream_that_was_given_up_goes_on_when_a_person_asks() {
    let api = ApiServer::new(Moody { in_a_mood: AtomicBool::new(true) });
    let services = Services::new().add_service(api).describe(runnel_protos::DESCRIPTOR_SET);
    let server = TestServer::start_services(services, ServeConfig::default()).await;
    let url = server.url();
    in_browser(async move |page: Browser| {
        page.open(&url).await;
        page.until_text("stream-error", "not before lunch").await;
        assert_eq!(page.eval(&state("stream-list")).await, json!("error"));
        assert_eq!(page.eval(&ids("stream-list")).await, json!([1, 2, 3]), "what came stays");
        page.click("retry").await;
        until_state(&page, "stream-list", "finished").await;
        assert_eq!(page.eval(&ids("stream-list")).await, json!([1, 2, 3, 4, 5]));
        says_it_resumed(&page).await;
    })
    .await;
    server.stop().await;
}
