//! What a request's message takes while it is gathered and worked on: counted as its bytes come, and not
//! when they are announced, or five bytes would hold megabytes. A compressed one is measured: how large it
//! is once unpacked, its client cannot be trusted to say.
//!
//! The one message of a request is held until its response begins. Of several, one is held until the next is
//! asked for.

use std::{
    io::{self, Write},
    task::{Context, Poll},
};

use flate2::write::GzDecoder;
use http::Request;
use runnel_limits::{
    client::client_address,
    quota::{FREE_BYTES, Holding, Quota, QuotaReached},
};
use runnel_wire::{COMPRESSED_FLAG, PREFIX_BYTES};

/// How many bytes a compressed one can become, at most:
/// <https://www.zlib.net/zlib_tech.html>, "Maximum Compression Factor".
const MAX_FACTOR: usize = 1032;

/// What one request holds of a quota.
pub(super) struct RequestQuota {
    holding: Holding,
    /// Whether there is one message.
    single: bool,
    limit_bytes: usize,
    gzip: bool,
    /// How many bytes of the body were seen.
    seen_bytes: usize,
    /// Unpacks the one message, to see how large it is.
    measure: Option<Box<GzDecoder<Count>>>,
    unpacked_bytes: usize,
}

impl RequestQuota {
    pub(super) fn of<B>(
        request: &Request<B>,
        quota: &Quota,
        single: bool,
        limit_bytes: usize,
    ) -> Self {
        let peer = client_address(request.extensions());
        let gzip = request.headers().get("grpc-encoding").is_some_and(|coding| coding == "gzip");
        let holding = quota.holding(peer);
        Self { holding, single, limit_bytes, gzip, seen_bytes: 0, measure: None, unpacked_bytes: 0 }
    }

    /// A piece of the body comes.
    pub(super) fn saw(&mut self, piece: &[u8]) {
        let begins = self.seen_bytes == 0;
        let prefix_left = PREFIX_BYTES.saturating_sub(self.seen_bytes).min(piece.len());
        self.seen_bytes = self.seen_bytes.saturating_add(piece.len());
        if !self.gzip || !self.single {
            return;
        }
        if begins && piece.first().is_some_and(|flag| flag & COMPRESSED_FLAG != 0) {
            let count = Count { bytes: 0, limit_bytes: self.limit_bytes };
            self.measure = Some(Box::new(GzDecoder::new(count)));
        }
        if let Some(measure) = &mut self.measure {
            // tonic, which unpacks it again, says what is wrong.
            let sound = measure.write_all(&piece[prefix_left..]).is_ok();
            self.unpacked_bytes = measure.get_ref().bytes;
            if !sound {
                self.measure = None;
            }
        }
    }

    /// Ready when there is room for a message of which so much has come.
    pub(super) fn poll_hold(
        &mut self,
        cx: &mut Context<'_>,
        come_bytes: usize,
    ) -> Poll<Result<(), QuotaReached>> {
        let unpacked_bytes = if self.gzip && !self.single {
            come_bytes.saturating_mul(MAX_FACTOR).min(self.limit_bytes)
        } else {
            self.unpacked_bytes
        };
        self.holding.poll_hold(cx, come_bytes.saturating_add(unpacked_bytes))
    }

    /// The service has done with the messages that came.
    pub(super) fn asked_for_the_next(&mut self) {
        if !self.single {
            self.holding.give_back();
        }
    }

    /// What is held of a message that goes on being worked on.
    pub(super) fn into_message(self) -> Option<Holding> {
        Some(self.holding).filter(|holding| self.single && holding.bytes() > FREE_BYTES)
    }
}

/// Counts what is written, up to a limit.
struct Count {
    bytes: usize,
    limit_bytes: usize,
}

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes = self.bytes.saturating_add(bytes.len()).min(self.limit_bytes);
        if self.bytes == self.limit_bytes {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
