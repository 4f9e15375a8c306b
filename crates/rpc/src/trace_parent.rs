//! The trace a call belongs to, as its client says: the `traceparent` header.
//! <https://www.w3.org/TR/trace-context/#traceparent-header>

use std::ops::Range;

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use runnel_limits::client::TrustedProxies;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A version, a trace id, a parent id and flags, in hexadecimal: `00-{32}-{16}-{2}`.
const LENGTH: usize = 55;

/// Whose `traceparent` names the trace of a call. The log line, the span and the backend have the same.
#[derive(Clone, Debug)]
pub(crate) enum TraceTrust {
    /// Everybody's: it goes no further than our own log and spans.
    Everyone,
    /// The `traceparent` of these proxies; calls from elsewhere begin a trace here. A backend gets it, and what clients say to a
    /// backend about where a call comes from is not believed either.
    Proxies(TrustedProxies),
}

impl TraceTrust {
    /// The trace that a request belongs to, if it belongs to any.
    pub(super) fn trace_of(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Option<TraceParent> {
        match self {
            Self::Everyone => TraceParent::of(headers),
            Self::Proxies(proxies) => {
                let told = TraceParent::of(headers).filter(|_| proxies.sent(extensions));
                Some(told.unwrap_or_else(TraceParent::begin))
            }
        }
    }

    /// Says so in the request's headers, if it may be sent on. `tracestate` goes with its `traceparent`.
    pub(super) fn tell(&self, headers: &mut HeaderMap, trace: &TraceParent) {
        if let Self::Proxies(_) = self {
            let told = TraceParent::of(headers);
            if told.is_none_or(|told| told.trace_id() != trace.trace_id()) {
                headers.remove(TRACESTATE);
            }
            headers.insert(TRACEPARENT, trace.0.clone());
        }
    }
}

/// A valid `traceparent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent(HeaderValue);

impl TraceParent {
    /// None if there is none, several, or one that is malformed: the standard then wants it ignored.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return None;
        };
        is_valid(value.as_bytes()).then(|| Self(value.clone()))
    }

    /// The beginning of a trace. It says "sampled", because a backend that decides by its parent would
    /// otherwise record nothing of what it records without us.
    fn begin() -> Self {
        Self::new(fastrand::u128(1..), fastrand::u64(1..), 1)
    }

    /// From numbers that are not zero.
    pub fn new(trace: u128, parent: u64, flags: u8) -> Self {
        let text = format!("00-{trace:032x}-{parent:016x}-{flags:02x}");
        // Digits and dashes are a header value.
        let mut value =
            HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""));
        // No connection needs to remember what never comes again (RFC 7541, section 6.2.3).
        value.set_sensitive(true);
        Self(value)
    }

    /// The 32 hexadecimal digits that all calls of the trace share.
    pub fn trace_id(&self) -> &str {
        self.digits(3..35)
    }

    /// The 16 hexadecimal digits of the span that made the call.
    pub fn parent_id(&self) -> &str {
        self.digits(36..52)
    }

    /// Two hexadecimal digits; the lowest bit says that the trace is recorded.
    pub fn flags(&self) -> &str {
        self.digits(53..55)
    }

    fn digits(&self, at: Range<usize>) -> &str {
        // A valid one is ASCII.
        self.0.to_str().ok().and_then(|text| text.get(at)).unwrap_or_default()
    }
}

fn is_valid(value: &[u8]) -> bool {
    let Some((known, rest)) = value.split_at_checked(LENGTH) else {
        return false;
    };
    let mut fields = known.split(|byte| *byte == b'-');
    let mut field = |digits: usize| {
        let is_lower_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        fields.next().filter(|field| field.len() == digits && field.iter().all(is_lower_hex))
    };
    let (Some(version), Some(trace), Some(parent), Some(_flags)) =
        (field(2), field(32), field(16), field(2))
    else {
        return false;
    };
    let is_zero = |field: &[u8]| field.iter().all(|digit| *digit == b'0');
    // A later version may say more behind another dash; the first one may not.
    let ends_well = match version {
        b"ff" => false,
        b"00" => rest.is_empty(),
        _ => rest.is_empty() || rest.starts_with(b"-"),
    };
    ends_well && !is_zero(trace) && !is_zero(parent)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use runnel_limits::client::Peer;

    use super::*;

    fn of(value: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([(TRACEPARENT, value.parse().unwrap())]);
        TraceParent::of(&headers).map(|parent| parent.trace_id().to_owned())
    }

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn the_trace_id_of_a_valid_one_is_found_also_in_later_versions() {
        for value in [
            format!("00-{TRACE}-00f067aa0ba902b7-01"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01-what-the-future-brings"),
        ] {
            assert_eq!(of(&value).as_deref(), Some(TRACE), "{value}");
        }
    }

    #[test]
    fn a_malformed_one_is_ignored() {
        for value in [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("00-{TRACE}-00f067aa0ba902b7-01more"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01more"),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}-00f067aa0ba902b-701"),
            format!("00_{TRACE}_00f067aa0ba902b7_01"),
        ] {
            assert_eq!(of(&value), None, "{value}");
        }
    }

    #[test]
    fn two_of_them_are_none() {
        let value: HeaderValue = format!("00-{TRACE}-00f067aa0ba902b7-01").parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, value.clone());
        headers.append(TRACEPARENT, value);
        assert_eq!(TraceParent::of(&headers), None);
    }

    /// The headers with which a request from `ip` is sent on, and the trace it belongs to.
    fn told(ip: &str, parent: Option<&str>) -> (HeaderMap, String) {
        let mut headers = HeaderMap::from_iter([(TRACESTATE, HeaderValue::from_static("a=1"))]);
        headers.extend(parent.map(|parent| (TRACEPARENT, parent.parse().unwrap())));
        let mut extensions = Extensions::new();
        extensions.insert(Peer(SocketAddr::new(ip.parse().unwrap(), 1234)));
        let proxies = TrustedProxies::new(&["10.0.0.0/8".parse().unwrap()]);
        let trust = TraceTrust::Proxies(proxies);
        let trace = trust.trace_of(&headers, &extensions).unwrap();
        trust.tell(&mut headers, &trace);
        assert_eq!(TraceParent::of(&headers).as_ref(), Some(&trace));
        (headers, trace.trace_id().to_owned())
    }

    #[test]
    fn a_trusted_proxys_is_sent_on_as_it_is() {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-00");
        let (headers, trace) = told("::ffff:10.1.2.3", Some(&parent));
        assert_eq!(trace, TRACE);
        assert_eq!(headers["traceparent"], parent);
        assert_eq!(headers["tracestate"], "a=1");
    }

    #[test]
    fn anybody_elses_and_a_malformed_one_are_replaced() {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-00");
        let others = told("192.0.2.7", Some(&parent));
        for (headers, trace) in [others, told("10.1.2.3", Some("00-zz")), told("10.1.2.3", None)] {
            assert_ne!(trace, TRACE);
            assert!(!headers.contains_key("tracestate"), "{headers:?}");
        }
    }

    #[test]
    fn a_new_one_is_valid() {
        for made in [TraceParent::begin(), TraceParent::new(1, 1, 0)] {
            let headers = HeaderMap::from_iter([(TRACEPARENT, made.0.clone())]);
            assert_eq!(TraceParent::of(&headers), Some(made));
        }
    }
}
