//! The policy as a caller meets it, against a scripted transport and with the clock in hand: every wait
//! is exact, and none takes any time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use runnel_protos::api::{ApiRequest, Hello};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use journal::script::{Answer, End, Script, message, messages};
use runnel_client::Connection::{Connecting, Live, Offline, Resuming};
use runnel_client::transport::TransportError;
use runnel_client::{CallError, Policy};

use super::{ApiClient, Item, ItemStream};

/// To which tokio's clock rounds up.
const MS: Duration = Duration::from_millis(1);

/// Answers with these items.
fn items(ids: impl IntoIterator<Item = i32>, end: End) -> Answer {
    messages(ids.into_iter().map(item), end)
}

fn item(id: i32) -> Item {
    Item { id, name: format!("name {id}") }
}

fn hello() -> Answer {
    message(&Hello { message: "Hello Ada!".into() })
}

fn unavailable() -> Answer {
    Answer::Refusal(Status::unavailable("starting"))
}

fn come_back_in(seconds: u64) -> Answer {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(seconds)));
    Answer::Refusal(Status::with_error_details(Code::ResourceExhausted, "full", details))
}

/// Reads to the end, which must come; the ids, and how it ended.
async fn read(items: &mut ItemStream<Script>) -> (Vec<i32>, Result<(), CallError>) {
    let mut ids = Vec::new();
    loop {
        match timeout(Duration::from_hours(2), items.next()).await.expect("an item or the end") {
            Some(Ok(item)) => ids.push(item.id),
            Some(Err(error)) => return (ids, Err(error)),
            None => return (ids, Ok(())),
        }
    }
}

/// What each call asked for, as (length, after).
fn ranges(script: &Script) -> Vec<(i32, i32)> {
    let range = |ApiRequest { length, after }| (length, after);
    script.asked().iter().map(|asked| range(asked.request())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_unary_deadline_is_sent_and_kept() {
    let script = Script::new([Answer::Silence]);
    let (client, began) = (ApiClient::new(script.clone()), Instant::now());
    let error = client.say_hello("Ada").await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut { .. }), "{error:?}");
    assert_eq!(began.elapsed(), Policy::default().unary_deadline);
    assert_eq!(script.asked()[0].header("grpc-timeout"), Some("30000000u"));
    assert!(script.asked()[0].is_unary, "the transport wants exactly one answer");
    assert_eq!(script.waiting(), 0, "the call is dropped, and so cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_is_cancelled() {
    let script = Script::new([Answer::Silence]);
    let client = ApiClient::new(script.clone());
    let call = timeout(Duration::from_secs(1), client.say_hello("Ada"));
    assert!(call.await.is_err());
    assert_eq!((script.asked().len(), script.waiting()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_ready_is_asked_again_with_what_is_left_of_the_deadline() {
    let script = Script::new([unavailable(), come_back_in(10), hello()]);
    let (client, began) = (ApiClient::new(script.clone()), Instant::now());
    assert_eq!(client.say_hello("Ada").await.unwrap(), "Hello Ada!");
    let waited = began.elapsed();
    let longest = Duration::from_millis(10_300);
    assert!(waited >= Duration::from_secs(10) && waited <= longest, "{waited:?}");

    let asked = script.asked();
    let previous = asked.iter().map(|asked| asked.header("grpc-previous-rpc-attempts"));
    assert_eq!(previous.collect::<Vec<_>>(), [None, Some("1"), Some("2")]);
    let timeout = asked[2].header("grpc-timeout").unwrap();
    let micros: u64 = timeout.strip_suffix('u').unwrap().parse().unwrap();
    assert!((19_700_000..=20_000_000).contains(&micros), "{timeout}");
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted() {
    for max_attempts in [1, 3, 5] {
        let script = Script::new((0..9).map(|_| unavailable()));
        let mut policy = Policy::default();
        policy.max_attempts = max_attempts;
        let client = ApiClient::new(script.clone()).with_policy(policy);
        let error = client.say_hello("Ada").await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert_eq!(script.asked().len(), usize::try_from(max_attempts).unwrap());
    }
}

/// By throws of the dice so many that each wait is seen in both halves of its range.
#[tokio::test(start_paused = true)]
async fn unary_waits_double_and_are_drawn_evenly() {
    let mut longest = [Duration::ZERO; 4];
    let mut shortest = [Duration::MAX; 4];
    for _ in 0..100 {
        let script = Script::default();
        ApiClient::new(script.clone()).say_hello("Ada").await.unwrap_err();
        for (retry, asked) in script.asked().windows(2).enumerate() {
            let wait = asked[1].at - asked[0].at;
            longest[retry] = longest[retry].max(wait);
            shortest[retry] = shortest[retry].min(wait);
        }
    }
    for (retry, bound) in [100, 200, 400, 800].map(Duration::from_millis).into_iter().enumerate() {
        assert!(longest[retry] > bound / 2 && longest[retry] <= bound + MS, "{longest:?}");
        assert!(shortest[retry] < bound / 2, "{shortest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_would_only_fail_again_is_told_at_once() {
    for refusal in [
        Answer::Refusal(Status::invalid_argument("no")),
        Answer::Refusal(Status::internal("no")),
        Answer::Refusal(Status::resource_exhausted("too long")),
        // Longer than the deadline.
        come_back_in(31),
    ] {
        let script = Script::new([refusal, hello()]);
        let began = Instant::now();
        ApiClient::new(script.clone()).say_hello("Ada").await.unwrap_err();
        assert_eq!((script.asked().len(), began.elapsed()), (1, Duration::ZERO));
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_budget_is_spent_nothing_is_retried() {
    let script = Script::new((0..99).map(|_| unavailable()));
    let client = ApiClient::new(script.clone());
    let mut attempts = Vec::new();
    for _ in 0..4 {
        let before = script.asked().len();
        client.clone().say_hello("Ada").await.unwrap_err();
        attempts.push(script.asked().len() - before);
    }
    assert_eq!(attempts, [5, 1, 1, 1], "the clones share it");
}

#[tokio::test(start_paused = true)]
async fn successes_fill_the_budget_again() {
    // Half of the budget is five failures.
    let script = Script::new((0..5).flat_map(|_| [unavailable(), hello()]));
    let client = ApiClient::new(script.clone());
    for _ in 0..5 {
        client.say_hello("Ada").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn offline_a_unary_call_is_tried_once() {
    let script = Script::new([unavailable(), hello()]);
    let (_offline, online) = watch::channel(false);
    let client = ApiClient::new(script.clone()).with_network(online);
    client.say_hello("Ada").await.unwrap_err();
    assert_eq!(script.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_where_it_was_cut() {
    let script = Script::new([items(1..=3, End::Cut), unavailable(), items(4..=9, End::Ok)]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let stream = ApiClient::new(script.clone()).stream(9);
    let mut stream = stream.watched_by(move |connection| log.lock().unwrap().push(connection));
    assert_eq!(read(&mut stream).await, ((1..=9).collect(), Ok(())));
    assert_eq!(ranges(&script), [(9, 0), (6, 3), (6, 3)]);

    let seen = seen.lock().unwrap();
    let [
        Connecting,
        Live { resumed: 0 },
        Resuming { delay: first },
        Connecting,
        Resuming { delay: second },
        Connecting,
        Live { resumed: 1 },
    ] = seen[..]
    else {
        panic!("{seen:?}")
    };
    assert!(first <= Duration::from_millis(100) && second <= Duration::from_millis(200));
}

#[tokio::test(start_paused = true)]
async fn a_drain_costs_no_time() {
    let script = Script::new([items(1..=3, End::Drained), items(4..=9, End::Ok)]);
    let began = Instant::now();
    let mut stream = ApiClient::new(script.clone()).stream(9);
    assert_eq!(read(&mut stream).await, ((1..=9).collect(), Ok(())));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_server_of_the_original_contract_is_asked_for_the_whole() {
    let script =
        Script::new([items(1..=3, End::Cut), items(1..=6, End::Ok), items(1..=9, End::Ok)]);
    let mut stream = ApiClient::new(script.clone()).stream(9);
    assert_eq!(read(&mut stream).await, ((1..=9).collect(), Ok(())));
    assert_eq!(ranges(&script), [(9, 0), (6, 3), (9, 0)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_out_of_order_or_missing_is_told_and_not_resumed() {
    for answer in [items([1, 3], End::Ok), items([1, 1], End::Ok), items([1, 2], End::Ok)] {
        let script = Script::new([answer]);
        let mut stream = ApiClient::new(script.clone()).stream(9);
        let (_, end) = read(&mut stream).await;
        assert!(matches!(end, Err(CallError::Protocol { .. })), "{end:?}");
        assert_eq!(script.asked().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn with_the_last_item_here_a_cut_is_an_end() {
    for end in [End::Cut, End::Drained, End::Silence] {
        let script = Script::new([items(1..=9, end)]);
        let mut stream = ApiClient::new(script.clone()).stream(9);
        assert_eq!(read(&mut stream).await, ((1..=9).collect(), Ok(())));
        assert_eq!(script.asked().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn more_than_was_asked_for_is_told_though_all_is_here() {
    let script = Script::new([items(1..=10, End::Ok)]);
    let (ids, end) = read(&mut ApiClient::new(script).stream(9)).await;
    assert_eq!(ids, (1..=9).collect::<Vec<_>>());
    assert!(matches!(end, Err(CallError::Protocol { .. })), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_falls_silent_is_resumed() {
    let script = Script::new([Answer::Silence, items(1..=3, End::Silence), items(4..=9, End::Ok)]);
    let (mut stream, began) = (ApiClient::new(script.clone()).stream(9), Instant::now());
    assert_eq!(read(&mut stream).await, ((1..=9).collect(), Ok(())));
    let waited = began.elapsed();
    let stalls = 2 * Policy::default().stall;
    assert!(waited >= stalls && waited <= stalls + Duration::from_millis(200), "{waited:?}");
    assert_eq!(script.waiting(), 0);
}

/// Not reading is not silence: the clock runs only while somebody waits.
#[tokio::test(start_paused = true)]
async fn a_reader_may_pause_for_as_long_as_it_likes() {
    let script = Script::new([items(1..=3, End::Silence), items(4..=5, End::Ok)]);
    let mut stream = ApiClient::new(script.clone()).stream(5);
    for id in 1..=3 {
        assert_eq!(stream.next().await.unwrap().unwrap().id, id);
        sleep(Duration::from_hours(24)).await;
    }
    // In the midst of waiting, too: a new wait has a clock of its own.
    let stall = Policy::default().stall;
    for _ in 0..5 {
        timeout(stall / 2, stream.next()).await.unwrap_err();
        sleep(Duration::from_hours(24)).await;
    }
    assert_eq!(script.asked().len(), 1);
    assert_eq!(read(&mut stream).await, (vec![4, 5], Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_let_go_frees_its_call_and_goes_on_as_if_nothing_broke() {
    let script = Script::new([items(1..=9, End::Silence), items(4..=9, End::Ok)]);
    let told = Arc::new(Mutex::new(Connecting));
    let last_told = Arc::clone(&told);
    let stream = ApiClient::new(script.clone()).stream(9);
    let mut stream = stream.watched_by(move |connection| *last_told.lock().unwrap() = connection);
    for id in 1..=3 {
        assert_eq!(stream.next().await.unwrap().unwrap().id, id);
    }
    stream.let_go();
    assert_eq!(script.reading(), 0, "the answer is dropped, and so the call cancelled");
    stream.let_go();
    sleep(Duration::from_hours(24)).await;
    assert_eq!(script.asked().len(), 1);
    assert_eq!(read(&mut stream).await, ((4..=9).collect(), Ok(())));
    assert_eq!(ranges(&script), [(9, 0), (6, 3)]);
    assert_eq!(*told.lock().unwrap(), Live { resumed: 0 });
}

/// What a proxy says in the place of the server, by an HTTP status.
fn http(status: u16) -> Answer {
    let content_type = "text/html".to_owned();
    Answer::Failure(TransportError::Http { status, content_type })
}

#[tokio::test(start_paused = true)]
async fn whatever_a_proxy_says_in_between_a_stream_with_items_goes_on() {
    for status in [200, 404, 408, 425, 429, 500, 502, 503, 504, 520, 522, 524, 530] {
        let script = Script::new([items(1..=3, End::Cut), http(status), items(4..=9, End::Ok)]);
        let mut stream = ApiClient::new(script.clone()).stream(9);
        assert_eq!(read(&mut stream).await, ((1..=9).collect(), Ok(())), "HTTP {status}");
    }
    for status in [401, 403, 511] {
        let script = Script::new([items(1..=3, End::Cut), http(status)]);
        let (ids, end) = read(&mut ApiClient::new(script.clone()).stream(9)).await;
        assert_eq!((ids, end.is_err(), script.asked().len()), (vec![1, 2, 3], true, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn it_gives_up_in_the_end_and_goes_on_when_asked_to() {
    let script = Script::new([items(1..=3, End::Cut)]);
    let (mut stream, began) = (ApiClient::new(script.clone()).stream(9), Instant::now());
    let (ids, end) = read(&mut stream).await;
    assert_eq!((ids, end.unwrap_err().code()), (vec![1, 2, 3], Code::Unavailable));
    let (waited, patience) = (began.elapsed(), Policy::default().patience);
    assert!(waited <= patience && waited > patience / 2, "{waited:?}");

    // With as much patience as at first.
    script.push(come_back_in(60));
    script.push(items(4..=9, End::Ok));
    assert_eq!(read(&mut stream).await, ((4..=9).collect(), Ok(())));
    assert_eq!(ranges(&script).last(), Some(&(6, 3)));
}

#[tokio::test(start_paused = true)]
async fn offline_it_waits_without_trying_and_resumes_with_the_network() {
    let (network, online) = watch::channel(true);
    // The time without a network is none of the stream's patience.
    let answers = [items(1..=3, End::Silence), unavailable(), items(4..=9, End::Ok)];
    let script = Script::new(answers);
    let last_told = Arc::new(Mutex::new(Connecting));
    let told = Arc::clone(&last_told);
    let stream = ApiClient::new(script.clone()).with_network(online).stream(9);
    let mut stream = stream.watched_by(move |connection| *told.lock().unwrap() = connection);
    for _ in 1..=3 {
        stream.next().await.unwrap().unwrap();
    }
    network.send_replace(false);
    let began = Instant::now();
    let (read, ()) = tokio::join!(read(&mut stream), async {
        sleep(Duration::from_hours(1)).await;
        assert_eq!(script.asked().len(), 1, "nothing was tried");
        assert_eq!(*last_told.lock().unwrap(), Offline);
        network.send_replace(true);
    });
    assert_eq!(read, ((4..=9).collect(), Ok(())));
    assert_eq!(script.asked()[1].at - began, Duration::from_hours(1), "then at once");
}

#[tokio::test(start_paused = true)]
async fn a_page_of_a_server_of_the_original_contract_is_cut_out_of_the_whole() {
    let all = |ids: std::ops::RangeInclusive<i32>| {
        message(&runnel_protos::api::Items { items: ids.map(item).collect() })
    };
    let page: Vec<_> = (5..=7).collect();
    for (answers, asked) in
        [(vec![all(5..=7)], vec![(3, 4)]), (vec![all(1..=3), all(1..=7)], vec![(3, 4), (7, 0)])]
    {
        let script = Script::new(answers);
        let items = ApiClient::new(script.clone()).get_page(3, 4).await.unwrap();
        assert_eq!(items.iter().map(|item| item.id).collect::<Vec<_>>(), page);
        assert_eq!(ranges(&script), asked);
    }
}

#[tokio::test]
async fn nothing_is_sent_before_somebody_asks() {
    let script = Script::new([items(1..=1, End::Ok)]);
    let mut stream = ApiClient::new(script.clone()).stream(1);
    assert_eq!(script.asked().len(), 0);
    assert!(stream.next().now_or_never().is_some());
}
