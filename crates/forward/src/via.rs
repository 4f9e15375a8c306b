//! Calls that come back: the backend is this proxy itself, or another proxy whose backend is this one. Each
//! proxy says in `via` (RFC 9110, section 7.6.3) that a call went through it, by a name that no other has, and
//! refuses a call that says so already. Otherwise one call would become thousands.
//!
//! From a client that is no trusted proxy, `via` is not believed, but the elements of proxies of this kind stay in
//! it: the other proxy of a loop is such a client. A client that forges one has only its own call refused.

use std::fmt;

use http::{HeaderMap, HeaderValue, Version, header};
use tonic::Status;

/// How the names of all proxies of this kind begin.
const PREFIX: &str = "runnel-";

/// How many digits follow it.
const DIGITS: usize = 16;

/// A proxy, as `via` names it.
pub(super) struct Via {
    name: String,
    over_http1: HeaderValue,
    over_http2: HeaderValue,
}

impl Via {
    /// A proxy with a name that no other has.
    pub(super) fn new() -> Self {
        let name = format!("{PREFIX}{:0DIGITS$x}", fastrand::u64(..));
        let received = |version| {
            // A name of letters and digits is a header value.
            HeaderValue::try_from(format!("{version} {name}"))
                .unwrap_or_else(|_| HeaderValue::from_static("2.0 runnel"))
        };
        let (over_http1, over_http2) = (received("1.1"), received("2.0"));
        Self { name, over_http1, over_http2 }
    }

    /// The element that says that this proxy received a message by this version of HTTP.
    pub(super) const fn received_by(&self, version: Version) -> &HeaderValue {
        match version {
            Version::HTTP_09 | Version::HTTP_10 | Version::HTTP_11 => &self.over_http1,
            _ => &self.over_http2,
        }
    }

    /// Refuses a call that came by here before, as UNAVAILABLE: so a health check of ours that comes back says
    /// that the backend is down.
    pub(super) fn refuse_loop(&self, headers: &HeaderMap) -> Result<(), Status> {
        if elements(headers).any(|element| front(element) == Some(&self.name)) {
            return Err(Status::unavailable(format!(
                "a loop: this call came by this server before ({}), so its --backend is itself, or leads \
                 back to it",
                self.name
            )));
        }
        Ok(())
    }
}

impl fmt::Debug for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Leaves only the elements of proxies of this kind, in as many lines.
pub(super) fn keep_fronts(headers: &mut HeaderMap) {
    if !headers.contains_key(header::VIA) {
        return;
    }
    let fronts = elements(headers).filter(|element| front(element).is_some());
    let fronts: Vec<_> = fronts.filter_map(|front| HeaderValue::from_str(front).ok()).collect();
    headers.remove(header::VIA);
    for mut front in fronts {
        // A client may have made it up; so it belongs in no compression table.
        front.set_sensitive(true);
        headers.append(header::VIA, front);
    }
}

fn elements(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::VIA).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// The name of the proxy that added this element, if it is one of this kind: `2.0 runnel-0123456789abcdef`.
fn front(element: &str) -> Option<&str> {
    let (version, name) = element.split_once(' ')?;
    let digits = name.strip_prefix(PREFIX)?;
    let is_name = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    (matches!(version, "1.1" | "2.0") && is_name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(lines: &[&str]) -> HeaderMap {
        let lines = lines.iter().map(|line| (header::VIA, line.parse().unwrap()));
        lines.collect()
    }

    #[test]
    fn a_front_knows_its_own_calls_among_those_of_others() {
        let (one, other) = (Via::new(), Via::new());
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let line = one.received_by(version).to_str().unwrap();
            for headers in [via(&[line]), via(&["1.1 edge", &format!("1.0 a (b),{line} , 2 c")])] {
                let status = one.refuse_loop(&headers).unwrap_err();
                assert!(status.message().contains("--backend"), "{status}");
                other.refuse_loop(&headers).unwrap();
            }
        }
        one.refuse_loop(&via(&["1.1 edge", "2.0 runnel"])).unwrap();
    }

    #[test]
    fn of_what_a_client_claims_only_fronts_are_kept() {
        let (one, other) = ("2.0 runnel-0123456789abcdef", "1.1 runnel-fedcba9876543210");
        let mut headers =
            via(&[&format!("1.1 edge, {one}"), other, "2.0 runnel-", "2.0 runnel-x, 1.1 y (z)"]);
        keep_fronts(&mut headers);
        assert_eq!(headers, via(&[one, other]));
    }
}
