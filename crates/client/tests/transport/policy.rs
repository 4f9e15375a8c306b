//! Calls with a policy, in a browser: its `fetch`, its clock and its events.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use journal::journal_client::JournalClient;
use journal::{AppendRequest, Entry, ReadRequest};
use js_sys::Uint8Array;
use runnel_client::transport::FetchTransport;
use runnel_client::{
    Accept, BrowserNetwork, CallError, Calls, Connection, Policy, Resume, Retry, same_origin,
};
use tonic::Code;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::wasm_bindgen_test;
use web_sys::{Event, Request};

use crate::answers::{entry, frame, ok, trailers};
use crate::scripted::{Answer, Scripted, Then, grpc_web};

/// The cursor of the last entry that was read.
#[derive(Default)]
struct Bookmark(String);

impl Resume for Bookmark {
    type Request = ReadRequest;
    type Message = Entry;

    fn next_request(&mut self) -> ReadRequest {
        ReadRequest { after: self.0.clone() }
    }

    fn accept(&mut self, entry: &Entry) -> Result<Accept, CallError> {
        self.0.clone_from(&entry.cursor);
        Ok(Accept::Deliver)
    }
}

/// The bytes that were sent.
async fn body(request: &Request) -> Vec<u8> {
    let body = JsFuture::from(request.array_buffer().unwrap()).await.unwrap();
    Uint8Array::new(&body).to_vec()
}

#[wasm_bindgen_test]
async fn the_stream_of_any_service_is_resumed_by_a_cursor_of_its_own() {
    let scripted = Scripted::in_turn([
        Some(Answer { then: Then::Break, ..grpc_web([entry(1), entry(2)]) }),
        None,
        Some(grpc_web([entry(3), trailers("grpc-status:14\r\n")])),
        Some(grpc_web([ok()])),
    ]);
    let client = JournalClient::new(same_origin());
    let call = move |request| {
        let mut client = client.clone();
        async move { client.read(request).await }
    };
    // What a page is told may stay with the page: it need not be `Send`.
    let resumed = Rc::new(Cell::new(0));
    let told = Rc::clone(&resumed);
    let stream = Calls::new().resume(Bookmark::default(), call);
    let mut stream = stream.watched_by(move |connection| {
        if let Connection::Live { resumed } = connection {
            told.set(resumed);
        }
    });
    let mut cursors = Vec::new();
    while let Some(entry) = stream.next().await {
        cursors.push(entry.unwrap().cursor);
    }
    assert_eq!(cursors, ["1", "2", "3"]);
    assert_eq!(resumed.get(), 2);

    let requests = scripted.asked.borrow().requests.clone();
    let mut bodies = Vec::new();
    for request in &requests {
        bodies.push(body(request).await);
    }
    let after = |cursor| frame(0, &[0x0a, 1, cursor]);
    assert_eq!(bodies, [frame(0, &[]), after(b'2'), after(b'2'), after(b'3')]);
    let origin = web_sys::window().unwrap().location().origin().unwrap();
    assert_eq!(requests[0].url(), format!("{origin}/journal.Journal/Read"));
}

/// Appends, which must not happen twice unless `retry` says that it may; how often it was sent, too.
async fn append(retry: Retry) -> (usize, Result<Entry, CallError>) {
    let refusal = trailers("grpc-status:14\r\n");
    let scripted = Scripted::in_turn([Some(grpc_web([refusal])), Some(grpc_web([entry(1), ok()]))]);
    let client: JournalClient<FetchTransport> = JournalClient::new(same_origin());
    let call = async |request| client.clone().append(request).await;
    let answer = Calls::new().unary(retry, AppendRequest::default(), call).await;
    let sent = scripted.asked.borrow().requests.len();
    (sent, answer.map(tonic::Response::into_inner))
}

#[wasm_bindgen_test]
async fn only_a_call_that_may_happen_twice_is_sent_twice() {
    let (sent, answer) = append(Retry::IfNotBegun).await;
    assert_eq!((sent, answer.unwrap_err().code()), (1, Code::Unavailable));
    let (sent, answer) = append(Retry::Idempotent).await;
    assert_eq!((sent, answer.unwrap().cursor), (2, "1".to_owned()));
}

#[wasm_bindgen_test]
async fn a_deadline_aborts_the_request() {
    let scripted = Scripted::new(Some(Answer { then: Then::Wait, ..grpc_web([]) }));
    let mut policy = Policy::default();
    policy.unary_deadline = Duration::from_millis(50);
    let client = JournalClient::new(same_origin());
    let call = async |request| client.clone().append(request).await;
    let calls = Calls::new().with_policy(policy);
    let error = calls.unary(Retry::IfNotBegun, AppendRequest::default(), call).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut { .. }), "{error:?}");
    let asked = scripted.asked.borrow();
    assert!(asked.requests[0].headers().has("grpc-timeout").unwrap());
    assert!(asked.signal.as_ref().unwrap().aborted());
}

#[wasm_bindgen_test]
fn the_browsers_events_say_when_to_try_again() {
    let network = BrowserNetwork::follow();
    let mut online = network.watch();
    for name in ["online", "offline", "visibilitychange"] {
        online.mark_unchanged();
        web_sys::window().unwrap().dispatch_event(&Event::new(name).unwrap()).unwrap();
        assert!(online.has_changed().unwrap(), "{name}");
    }
    online.mark_unchanged();
    network.clone().try_now();
    assert!(online.has_changed().unwrap() && *online.borrow());
    drop(network);
    assert!(online.has_changed().is_err(), "nobody follows any more");
}
