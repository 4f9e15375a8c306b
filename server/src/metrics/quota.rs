//! The bytes of messages that are held, and the messages that were refused for them.

use prometheus::{
    IntCounterVec, IntGauge, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use runnel_limits::quota::Quota;

/// Reads a quota whenever somebody looks.
pub(super) struct QuotaCollector {
    quota: Quota,
    /// Without values: for their descriptions.
    families: Families,
}

impl QuotaCollector {
    pub(super) fn new(quota: Quota) -> Result<Self, prometheus::Error> {
        Ok(Self { quota, families: Families::new()? })
    }
}

impl Collector for QuotaCollector {
    fn desc(&self) -> Vec<&Desc> {
        [self.families.held_bytes.desc(), self.families.refused.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // They could be made once, so they can be made again.
        let Ok(Families { held_bytes, refused }) = Families::new() else {
            return Vec::new();
        };
        let usage = self.quota.usage();
        held_bytes.set(i64::try_from(usage.held_bytes).unwrap_or(i64::MAX));
        for (option, count) in [
            ("max_held_bytes", usage.refused_total),
            ("max_held_bytes_per_address", usage.refused_per_address),
        ] {
            refused.with_label_values(&[option]).inc_by(count);
        }
        [held_bytes.collect(), refused.collect()].concat()
    }
}

struct Families {
    held_bytes: IntGauge,
    refused: IntCounterVec,
}

impl Families {
    fn new() -> Result<Self, prometheus::Error> {
        let held_bytes = IntGauge::new(
            "runnel_message_bytes_held",
            "Bytes of messages that are arriving, or answered and not yet read; small ones do not count.",
        )?;
        let refused = IntCounterVec::new(
            Opts::new(
                "runnel_messages_refused_total",
                "Messages that were refused because too many bytes were held, by the option that sets \
                 the bound.",
            ),
            &["bound"],
        )?;
        Ok(Self { held_bytes, refused })
    }
}
