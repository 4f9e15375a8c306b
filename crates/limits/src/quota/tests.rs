use std::task::Waker;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;

const MIB: usize = 1024 * 1024;

fn quota(total: usize, per_address: usize) -> Quota {
    Quota::new(Limit { total, per_address })
}

fn holding(quota: &Quota, last: u8) -> Holding {
    quota.holding(Some(IpAddr::from([192, 0, 2, last])))
}

fn held(quota: &Quota) -> usize {
    quota.0.held().total
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_waits_for_what_is_given_back_and_not_for_ever() {
    let quota = quota(4 * MIB, 2 * MIB);
    let mut first = holding(&quota, 1);
    first.hold(2 * MIB).await.unwrap();
    let mut second = holding(&quota, 1);
    let refused = second.hold(MIB).await;
    assert_eq!(refused, Err(QuotaReached::PerAddress { limit: 2 * MIB }));
    second.hold(FREE_BYTES).await.unwrap();
    holding(&quota, 2).hold(2 * MIB).now_or_never().expect("others need not wait").unwrap();

    let began = Instant::now();
    let waits = second.hold(MIB);
    let gives_back = async {
        sleep(WAIT / 2).await;
        drop(first);
    };
    let (held, ()) = tokio::join!(waits, gives_back);
    held.unwrap();
    assert_eq!(began.elapsed(), WAIT / 2);
}

#[test]
fn a_limit_of_a_control_group_is_a_number() {
    assert_eq!(limit_of("max\n"), None);
    assert_eq!(limit_of("134217728\n"), Some(128 * MIB));
    // What version 1 says for none.
    assert_eq!(limit_of("9223372036854771712\n"), Some(9_223_372_036_854_771_712));
}

#[test]
fn the_largest_messages_fit_into_the_smallest_default() {
    let largest = 1024 * MIB;
    let Limit { total, per_address } = limit(None, None, largest);
    assert!(total >= 4 * largest && (2 * largest..total).contains(&per_address));
    assert_eq!(limit(Some(8), None, largest), Limit { total: 8, per_address: 8 });
    assert_eq!(limit(Some(9), Some(1), largest), Limit { total: 9, per_address: 1 });
}

proptest! {
    /// Whatever is held and given back, the bounds hold, and at the end nothing is left behind.
    #[test]
    fn bounds_hold_and_everything_returns(
        steps in prop::collection::vec((0..4_u8, 0..4_usize, 0..4 * MIB), 0..100),
    ) {
        let (total, per_address) = (8 * MIB, 3 * MIB);
        let quota = quota(total, per_address);
        let mut holdings: Vec<Vec<Holding>> =
            (0..4).map(|who| (0..4).map(|_| holding(&quota, who)).collect()).collect();
        let mut cx = Context::from_waker(Waker::noop());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _in_it = runtime.enter();
        for (who, which, bytes) in steps {
            let _ = holdings[usize::from(who)][which].poll_hold(&mut cx, bytes);
            let sum = |theirs: &[Holding]| theirs.iter().map(|holding| holding.bytes).sum::<usize>();
            prop_assert!(holdings.iter().all(|theirs| sum(theirs) <= per_address));
            let all: usize = holdings.iter().map(|theirs| sum(theirs)).sum();
            prop_assert!(all <= total && all == held(&quota));
        }
        drop(holdings);
        prop_assert_eq!(held(&quota), 0);
        prop_assert!(quota.0.held().by_address.is_empty());
        prop_assert_eq!(quota.0.waiting.load(Ordering::SeqCst), 0);
    }
}
