//! A deadline that holds for the whole call, streams included. tonic's ends at the response's head,
//! and says CANCELLED.
//!
//! The client's deadline is its `grpc-timeout` header; the operator may cap unary calls. When it
//! passes, the call ends as DEADLINE_EXCEEDED.
//!
//! The cap is one rule, whether a method was described or not, so that nothing changes on the day when
//! it is described: the response of a call that is not known to be a stream must begin in time. The
//! response of a unary call is then there; that of a method that is not described may be a stream, which goes on.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::Either;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::{
    call_context,
    methods::MethodKind,
    refusal::{Refused, refuse},
    termination::{End, TerminationFuture},
};

/// The header with a client's deadline.
pub const GRPC_TIMEOUT: &str = "grpc-timeout";

/// Holds each call to its deadline.
#[derive(Clone, Debug)]
pub(super) struct DeadlineLayer {
    unary_deadline: Option<Duration>,
}

impl DeadlineLayer {
    /// Unary calls end after `unary_deadline` at the latest, whatever their client allows.
    pub(super) const fn new(unary_deadline: Option<Duration>) -> Self {
        Self { unary_deadline }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Deadline { inner, layer: self.clone() }
    }
}

/// The service of [`DeadlineLayer`].
#[derive(Clone, Debug)]
pub(super) struct Deadline<S> {
    inner: S,
    layer: DeadlineLayer,
}

impl<S, B> Service<Request<B>> for Deadline<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<TerminationFuture<S::Future, Timer>, Refused<S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let asked = match grpc_timeout(request.headers()) {
            Ok(asked) => asked,
            Err(malformed) => return Either::Right(refuse(&malformed)),
        };
        let kind = call_context::kind(request.extensions());
        let cap = self.layer.unary_deadline.filter(|_| kind.is_none_or(MethodKind::is_unary));
        let is_capped = cap.is_some_and(|cap| asked.is_none_or(|asked| cap < asked));
        let (asked, cap) = (asked.and_then(in_time), cap.and_then(in_time));
        let first = asked.into_iter().chain(cap).min();
        if first.is_some_and(|first| first <= Instant::now()) {
            return Either::Right(refuse(&exceeded()));
        }
        let timer = first.map(Timer::at);
        // A method that nobody described may answer with a stream, to the end of which the cap does not reach.
        let is_cap_of_the_head = is_capped && kind.is_none();
        let deadline = if is_cap_of_the_head { asked } else { first };
        call_context::set_deadline(&mut request, deadline);
        let inner = self.inner.call(request);
        if is_cap_of_the_head {
            let asked = asked.map(Timer::at);
            return Either::Left(TerminationFuture::with_head_in_time(inner, asked, timer));
        }
        Either::Left(TerminationFuture::new(inner, timer))
    }
}

/// The value of `grpc-timeout`: digits and a unit. More than the eight digits that the specification has
/// are taken for what they say, because the JavaScript client writes `172800000m` for two days.
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests>
fn grpc_timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    headers.get(GRPC_TIMEOUT).map(parse_timeout).transpose()
}

/// The duration that a value of `grpc-timeout` says.
pub fn parse_timeout(value: &HeaderValue) -> Result<Duration, Status> {
    let malformed = || {
        Status::invalid_argument(format!(
            "grpc-timeout must be digits and one of H M S m u n, not {value:?}"
        ))
    };
    let [digits @ .., unit] = value.as_bytes() else {
        return Err(malformed());
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(malformed());
    }
    let amount = digits.iter().fold(0_u64, |amount, digit| {
        amount.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    });
    Ok(match unit {
        b'H' => Duration::from_secs(amount.saturating_mul(3600)),
        b'M' => Duration::from_secs(amount.saturating_mul(60)),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return Err(malformed()),
    })
}

/// The time after so long; None if that is further away than time can be counted.
fn in_time(duration: Duration) -> Option<Instant> {
    Instant::now().checked_add(duration)
}

fn exceeded() -> Status {
    Status::deadline_exceeded("the call's deadline has passed")
}

/// A point in time that is looked at often and waited for seldom.
#[derive(Debug)]
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    fn at(deadline: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(deadline)) }
    }
}

impl End for Timer {
    fn has_come(&self) -> bool {
        self.sleep.deadline() <= Instant::now()
    }

    fn poll_come(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sleep.as_mut().poll(cx)
    }

    fn status(&self) -> Status {
        exceeded()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(value: &str) -> Result<Duration, tonic::Code> {
        parse_timeout(&HeaderValue::from_str(value).unwrap()).map_err(|status| status.code())
    }

    #[test]
    fn every_unit_is_understood() {
        assert_eq!(parse("1H"), Ok(Duration::from_hours(1)));
        assert_eq!(parse("2M"), Ok(Duration::from_mins(2)));
        assert_eq!(parse("3S"), Ok(Duration::from_secs(3)));
        assert_eq!(parse("4m"), Ok(Duration::from_millis(4)));
        assert_eq!(parse("5u"), Ok(Duration::from_micros(5)));
        assert_eq!(parse("6n"), Ok(Duration::from_nanos(6)));
        assert_eq!(parse("99999999H"), Ok(Duration::from_hours(99_999_999)));
        assert_eq!(parse("0S"), Ok(Duration::ZERO));
    }

    #[test]
    fn more_than_eight_digits_are_what_they_say_or_far_away() {
        assert_eq!(parse("172800000m"), Ok(Duration::from_hours(48)));
        assert_eq!(parse("000000000001S"), Ok(Duration::from_secs(1)));
        for unit in ["H", "M", "S", "m", "u", "n"] {
            let far = parse(&format!("{}{unit}", "9".repeat(100))).unwrap();
            assert!(far > Duration::from_hours(24 * 365 * 500), "{unit} {far:?}");
        }
    }

    #[test]
    fn malformed_timeouts_are_refused() {
        for value in ["", "S", "1", "1s", "-1S", "1.5S", "123456789", " 1S", "1S ", "1 S", "+1S"] {
            assert_eq!(parse(value), Err(tonic::Code::InvalidArgument), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_value_makes_it_panic(bytes: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let _ = parse_timeout(&value);
            }
        }
    }
}
