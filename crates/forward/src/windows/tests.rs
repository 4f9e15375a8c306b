use futures_util::task::noop_waker;
use proptest::prelude::*;

use super::*;

const STREAM: u32 = 1;

fn windows() -> Arc<Windows> {
    Windows::new(Arc::default())
}

fn data(stream: u32, payload_bytes: usize) -> Frame<'static> {
    Frame { kind: kind::DATA, flags: 0, stream, payload_bytes, payload: &[] }
}

fn may_go_on(request: &CountedRequest) -> bool {
    request.poll_room(true, &Context::from_waker(&noop_waker())).is_ready()
}

fn update(windows: &Windows, stream: u32, amount: u32) {
    let payload = amount.to_be_bytes();
    let payload_bytes = payload.len();
    let update =
        Frame { kind: kind::WINDOW_UPDATE, flags: 0, stream, payload_bytes, payload: &payload };
    windows.received(update);
}

#[test]
fn what_h2_was_given_takes_part_of_the_window_before_it_is_sent() {
    let windows = windows();
    let requests: Vec<_> = (0..3).map(|index| windows.count(2 * index + 1, None)).collect();
    assert!(windows.has_room());
    for request in &requests {
        request.queue(16 * 1024);
    }
    assert!(!windows.has_room(), "three quarters are as good as sent");
    for index in 0..3 {
        windows.sent(data(2 * index + 1, 16 * 1024));
    }
    assert!(!windows.has_room(), "they are sent");
    assert_eq!(windows.queued.load(Ordering::Relaxed), 0);
    update(&windows, 0, 48 * 1024);
    assert!(windows.has_room());
}

#[test]
fn what_a_request_that_is_given_up_has_not_sent_is_free_again() {
    let windows = windows();
    let (given_up, waits) = (windows.count(STREAM, None), windows.count(STREAM + 2, None));
    given_up.queue(60 * 1024);
    windows.sent(data(STREAM, 1024));
    assert!(!windows.has_room() && !may_go_on(&waits));
    drop(given_up);
    assert!(windows.has_room() && may_go_on(&waits));
}

#[test]
fn a_request_that_nobody_reads_has_half_of_its_window_and_one_that_is_read_goes_on() {
    let windows = windows();
    let request = windows.count(STREAM, None);
    let mut sent = 0;
    while may_go_on(&request) {
        request.queue(8 * 1024);
        windows.sent(data(STREAM, 8 * 1024));
        sent += 8 * 1024;
    }
    assert_eq!(sent, 32 * 1024);
    // Others read, not this one.
    update(&windows, 0, 32 * 1024);
    assert!(!may_go_on(&request));
    update(&windows, STREAM, 32 * 1024);
    assert!(may_go_on(&request));
}

/// Each of them is short, and none of them is read.
#[test]
fn one_client_leaves_some_of_the_window_to_others_however_many_requests_it_has() {
    let windows = windows();
    let of = |stream, client: u8| windows.count(stream, Some([192, 0, 2, client].into()));
    let may_begin = |request: &CountedRequest| {
        request.poll_room(false, &Context::from_waker(&noop_waker())).is_ready()
    };
    let mut requests = Vec::new();
    loop {
        let request = of(2 * u32::try_from(requests.len()).unwrap() + 1, 1);
        if !may_begin(&request) {
            break;
        }
        request.queue(1024);
        requests.push(request);
    }
    assert_eq!(requests.len(), 41, "the first with which it is more than five eighths");
    let other = of(1001, 2);
    assert!(may_begin(&other));
    let next = of(1003, 1);
    assert!(!may_begin(&next));
    requests.truncate(30);
    assert!(may_begin(&next));
}

proptest! {
    /// Whatever is given to h2, sent and given up.
    #[test]
    fn nothing_stays_queued_for_requests_that_are_over(
        steps in prop::collection::vec((0..4_u32, 0..3_u8, 0..20_000_usize), 0..100),
    ) {
        let windows = windows();
        let mut requests: [Option<CountedRequest>; 4] = Default::default();
        let mut queued = [0_usize; 4];
        for (which, step, amount) in steps {
            let (stream, index) = (2 * which + 1, which as usize);
            // Two clients.
            let client = IpAddr::from([192, 0, 2, u8::try_from(which % 2).unwrap()]);
            let request = &mut requests[index];
            match (step, &request) {
                (0, _) => {
                    let counted = request.get_or_insert_with(|| windows.count(stream, Some(client)));
                    counted.queue(amount);
                    queued[index] += amount;
                }
                (1, Some(_)) => {
                    let sent = amount.min(queued[index]);
                    windows.sent(data(stream, sent));
                    queued[index] -= sent;
                }
                _ => {
                    *request = None;
                    queued[index] = 0;
                }
            }
            prop_assert_eq!(windows.queued.load(Ordering::Relaxed), bytes(queued.iter().sum()));
        }
        drop(requests);
        prop_assert_eq!(windows.queued.load(Ordering::Relaxed), 0);
        prop_assert!(windows.clients().is_empty());
    }
}
