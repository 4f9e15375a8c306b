//! The metrics of a server, read as Prometheus reads them.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;

use crate::{patiently, wire};

/// What `/metrics` said at one moment.
#[derive(Debug)]
pub struct Metrics {
    /// The text itself.
    pub text: String,
}

impl Metrics {
    /// Reads them from an admin port.
    pub async fn read(admin: SocketAddr) -> Self {
        let request = Request::get("/metrics").body(Bytes::new()).expect("a request");
        let response = wire::http1_request(admin, request).await;
        assert_eq!(response.status(), StatusCode::OK);
        let content_type = &response.headers()[header::CONTENT_TYPE];
        assert!(content_type.as_bytes().starts_with(b"text/plain; version=0.0.4"));
        let text = response.into_body().collect().await.expect("a whole answer").to_bytes();
        Self { text: String::from_utf8(text.to_vec()).expect("UTF-8") }
    }

    /// Reads them until they are as wanted: a call is counted when it is over, which its client may
    /// learn a moment before.
    pub async fn read_until(admin: SocketAddr, what: &str, wanted: impl Fn(&Self) -> bool) -> Self {
        patiently(what, async {
            loop {
                let metrics = Self::read(admin).await;
                if wanted(&metrics) {
                    return metrics;
                }
            }
        })
        .await
    }

    /// The sum of all series of a metric that have these labels: `grpc_code="OK"`, say. The metric
    /// counts, so its values are whole numbers.
    pub fn sum(&self, metric: &str, labels: &[&str]) -> i64 {
        self.series()
            .filter(|(series, _)| {
                let (name, theirs) = series.split_once('{').unwrap_or((series, ""));
                name == metric && labels.iter().all(|label| theirs.contains(label))
            })
            .map(|(_, value)| value.parse::<i64>().expect("a count"))
            .sum()
    }

    /// Each series, labels included, and its value.
    pub fn series(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit_once(' ').expect("a series and its value"))
    }
}
