//! How much a call may cost.

use std::time::Duration;

use runnel_limits::{
    Limit,
    quota::{self, Quota},
};
use runnel_wire::DEFAULT_MESSAGE_LIMIT_BYTES;

/// The most metadata that gRPC's own clients take, in bytes: 16 KiB.
/// <https://github.com/grpc/grpc/blob/master/include/grpc/impl/channel_arg_names.h>,
/// `GRPC_ARG_ABSOLUTE_MAX_METADATA_SIZE`
const METADATA_LIMIT_BYTES: usize = 16 * 1024;

/// How many calls or streams may be open at once by default.
const OPEN: Limit = Limit { total: 4096, per_address: 1024 };

/// A page that searches at each key press cancels ten calls a second. This allows five such pages behind one
/// address, and is less than the thousand cancelled calls at which Go's server closes a connection.
const CANCELS_PER_ADDRESS: u32 = 500;

/// How much a call may cost.
///
/// ```
/// use runnel_rpc::Limits;
///
/// let limits = Limits { message_bytes: 64 * 1024, unary_deadline: None, ..Limits::default() };
/// assert_eq!(limits.streams.total, 4096);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest request message, in bytes, without its prefix and as it is on the wire; 4 MiB. What a
    /// compressed message may become is for the service to limit: `max_decoding_message_size`.
    pub message_bytes: usize,
    /// How much a response may have.
    pub response: ResponseLimits,
    /// How long a unary call may take, whatever its client allows; None for as long as it takes. A minute. The
    /// response of a method that no descriptor describes must begin within this time, and may be a stream that goes
    /// on.
    pub unary_deadline: Option<Duration>,
    /// How long the request of a method that takes one message and sends many may take to come; None for
    /// as long as it takes. A minute.
    pub request_timeout: Option<Duration>,
    /// Unary calls open at once; 4096, and 1024 for one client address.
    pub unary: Limit,
    /// Streams open at once, calls of methods that no descriptor describes among them; 4096, and 1024 for one
    /// client address.
    pub streams: Limit,
    /// Calls that one client may cancel at once, and again every ten seconds; 0 for any number. 500.
    pub cancels_per_address: u32,
    /// Bytes of messages held at once, in all; None for 256 MiB, or half of the container's memory if that is
    /// less.
    pub held_bytes: Option<usize>,
    /// Bytes of messages held at once for one client address; None for a quarter of those in all.
    pub held_bytes_per_address: Option<usize>,
}

/// How much a response may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseLimits {
    /// The largest message, in bytes, without its prefix and as it is on the wire; 4 MiB.
    pub message_bytes: usize,
    /// The most metadata before the messages, and the most behind them, in bytes as RFC 9113 section
    /// 6.5.2 counts them; 16 KiB.
    pub metadata_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: DEFAULT_MESSAGE_LIMIT_BYTES,
            response: ResponseLimits::default(),
            unary_deadline: Some(Duration::from_mins(1)),
            request_timeout: Some(Duration::from_mins(1)),
            unary: OPEN,
            streams: OPEN,
            cancels_per_address: CANCELS_PER_ADDRESS,
            held_bytes: None,
            held_bytes_per_address: None,
        }
    }
}

impl Default for ResponseLimits {
    fn default() -> Self {
        Self { message_bytes: DEFAULT_MESSAGE_LIMIT_BYTES, metadata_bytes: METADATA_LIMIT_BYTES }
    }
}

impl Limits {
    /// The quota of bytes of messages that these limits allow. By default four messages of the largest size fit
    /// into it, and two of one client address.
    pub fn quota(&self) -> Quota {
        let largest = self.message_bytes.max(self.response.message_bytes);
        Quota::new(quota::limit(self.held_bytes, self.held_bytes_per_address, largest))
    }
}
