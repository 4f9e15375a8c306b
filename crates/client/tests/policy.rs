//! The policy as the user of another service meets it, against a scripted transport and with the clock in
//! hand: every wait is exact, and none takes any time.

#![cfg(not(target_arch = "wasm32"))]

use std::time::Duration;

use journal::script::{Answer, Asked, End, Script, message, messages};
use journal::{AppendRequest, Entry, LastRequest, ReadRequest, journal_client::JournalClient};
use runnel_client::transport::TransportError;
use runnel_client::{
    Accept, CallError, Calls, Messages, Policy, ResumableStream, Resume, Retry, StreamingCall,
};
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

fn entry(cursor: u32) -> Entry {
    Entry { cursor: format!("#{cursor}"), text: format!("entry {cursor}") }
}

fn entries(cursors: impl IntoIterator<Item = u32>, end: End) -> Answer {
    messages(cursors.into_iter().map(entry), end)
}

fn unavailable() -> Answer {
    Answer::Refusal(Status::unavailable("starting"))
}

fn http(status: u16) -> Answer {
    Answer::Failure(TransportError::Http { status, content_type: "text/html".to_owned() })
}

/// Appends, which must not happen twice unless `retry` says that it may.
async fn append(script: &Script, retry: Retry) -> Result<Entry, CallError> {
    let client = JournalClient::new(script.clone());
    let call = async |request| client.clone().append(request).await;
    let message = AppendRequest { text: "new".to_owned() };
    Ok(Calls::new().unary(retry, message, call).await?.into_inner())
}

/// Reads from the beginning, in one answer.
async fn read(script: &Script, retry: Retry) -> Result<Messages<Entry>, CallError> {
    let client = JournalClient::new(script.clone());
    let call = async |request| client.clone().read(request).await;
    Calls::new().stream(retry, ReadRequest::default(), call).await
}

/// Failures that may pass, after which the server may have seen the call.
fn may_have_begun() -> [Answer; 6] {
    [
        unavailable(),
        http(503),
        http(429),
        Answer::Failure(TransportError::NoAnswer { detail: "failed to fetch".to_owned() }),
        Answer::Failure(TransportError::Broken { detail: "reset".to_owned() }),
        entries([], End::Cut),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_have_begun_is_sent_once_unless_it_is_idempotent() {
    for (first, again) in may_have_begun().into_iter().zip(may_have_begun()) {
        let script = Script::new([first, message(&entry(1))]);
        let error = append(&script, Retry::IfNotBegun).await.unwrap_err();
        assert!(error.is_transient() && !error.did_not_begin(), "{error:?}");
        assert_eq!(script.asked().len(), 1, "{error:?}");

        let script = Script::new([again, message(&entry(1))]);
        assert_eq!(append(&script, Retry::Idempotent).await, Ok(entry(1)), "{error:?}");
        assert_eq!(script.asked().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_certainly_did_not_begin_is_sent_again_whatever_it_does() {
    for retry in [Retry::IfNotBegun, Retry::Idempotent] {
        let script = Script::new([http(408), http(425), message(&entry(1))]);
        assert_eq!(append(&script, retry).await, Ok(entry(1)));
        let asked: Vec<AppendRequest> = script.asked().iter().map(Asked::request).collect();
        assert_eq!(asked, vec![AppendRequest { text: "new".to_owned() }; 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_caller_adds_to_a_request_goes_with_each_attempt() {
    let script = Script::new([unavailable(), message(&entry(1))]);
    let client = JournalClient::new(script.clone());
    let call = async |mut request: tonic::Request<LastRequest>| {
        request.metadata_mut().insert("authorization", "Bearer token".parse().unwrap());
        client.clone().last(request).await
    };
    Calls::new().unary(Retry::Idempotent, LastRequest {}, call).await.unwrap();
    let sent = script.asked();
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|asked| asked.header("authorization") == Some("Bearer token")));
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_cursor_is_asked_for_again_until_it_begins_and_never_after() {
    let script = Script::new([unavailable(), entries(1..=2, End::Cut), entries(1..=3, End::Ok)]);
    assert_eq!(read(&script, Retry::IfNotBegun).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(script.asked().len(), 1);

    let mut read = read(&script, Retry::Idempotent).await.unwrap();
    assert_eq!(read.next().await, Some(Ok(entry(1))));
    assert_eq!(read.next().await, Some(Ok(entry(2))));
    let error = read.next().await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
    assert_eq!(read.next().await, None);
    assert_eq!(script.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_falls_silent_has_failed() {
    let script = Script::new([entries(1..=1, End::Silence)]);
    let mut read = read(&script, Retry::IfNotBegun).await.unwrap();
    assert_eq!(read.next().await, Some(Ok(entry(1))));
    let began = Instant::now();
    let error = read.next().await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::TimedOut { .. }), "{error:?}");
    assert_eq!(began.elapsed(), Policy::default().stall);
    assert_eq!(script.reading(), 1);
    drop(read);
    assert_eq!(script.reading(), 0, "the call is cancelled");
}

/// The cursor of the last entry that was read.
#[derive(Debug, Default)]
struct Bookmark(String);

impl Resume for Bookmark {
    type Request = ReadRequest;
    type Message = Entry;

    fn next_request(&mut self) -> ReadRequest {
        ReadRequest { after: self.0.clone() }
    }

    fn accept(&mut self, entry: &Entry) -> Result<Accept, CallError> {
        // As of a server that begins with the entry of the cursor, rather than behind it.
        if entry.cursor == self.0 {
            return Ok(Accept::Skip);
        }
        self.0.clone_from(&entry.cursor);
        Ok(Accept::Deliver)
    }
}

fn reading(
    script: &Script,
) -> ResumableStream<Bookmark, impl StreamingCall<ReadRequest, Message = Entry> + use<>> {
    let client = JournalClient::new(script.clone());
    Calls::new().resume(Bookmark::default(), move |request| {
        let mut client = client.clone();
        async move { client.read(request).await }
    })
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_resumed_by_a_cursor_of_the_callers() {
    let script = Script::new([
        entries(1..=2, End::Cut),
        unavailable(),
        entries(3..=4, End::Silence),
        entries(4..=6, End::Drained),
        entries([], End::Ok),
    ]);
    let mut stream = reading(&script);
    for cursor in 1..=6 {
        let next = timeout(Duration::from_mins(1), stream.next()).await.expect("an entry");
        assert_eq!(next, Some(Ok(entry(cursor))));
    }
    assert_eq!(stream.next().await, None, "only the server knows where the end is");
    assert_eq!(stream.position().0, "#6");
    let after: Vec<_> =
        script.asked().iter().map(|asked| asked.request::<ReadRequest>().after).collect();
    assert_eq!(after, ["", "#2", "#2", "#4", "#6"]);
}

#[test]
fn where_there_are_threads_calls_and_streams_can_move_between_them() {
    fn is_send<T: Send>(_: &T) {}
    let script = Script::new([]);
    is_send(&append(&script, Retry::IfNotBegun));
    is_send(&read(&script, Retry::IfNotBegun));
    let client = JournalClient::new(script.clone());
    let mut stream = Calls::new().resume(Bookmark::default(), move |request| {
        let mut client = client.clone();
        async move { client.read(request).await }
    });
    is_send(&stream);
    is_send(&stream.next());
}
