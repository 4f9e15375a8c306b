//! Why a backend did not respond as it should, and the status that a client gets for it: it names the backend and
//! the reason.

use std::{fmt, sync::Arc, time::Duration};

use h2::Reason;
use http::StatusCode;
use runnel_wire::code_of_http_status;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// When a client may try again whose call found no place at the backend. The call has waited already.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// What went wrong between us and a backend.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("its name does not resolve: {0}")]
    Resolve(Arc<std::io::Error>),
    #[error("its name resolves to no address")]
    NoAddress,
    #[error("cannot connect: {0}")]
    Connect(Arc<std::io::Error>),
    #[error("cannot connect within {0:?}")]
    ConnectTimeout(Duration),
    #[error("the TLS handshake failed: {0}")]
    Tls(Arc<str>),
    #[error("it chose no HTTP/2 in the TLS handshake, which gRPC needs")]
    NoAlpn,
    #[error("it does not speak HTTP/2: {0}")]
    NotHttp2(Arc<str>),
    #[error("it accepted the connection and then said nothing for {0:?}")]
    Silent(Duration),
    #[error("it gave no sign of life for {0:?}")]
    Dead(Duration),
    #[error("the connection was lost: {0}")]
    Lost(Arc<str>),
    #[error("it closed the connection before it took the call ({0})")]
    GoneAway(Reason),
    #[error("it reset the call: {0}")]
    Reset(Reason),
    #[error("it answered HTTP {0}, which is no gRPC")]
    Http(StatusCode),
    #[error("it answered with the content type {0:?}, which is no gRPC")]
    ContentType(Arc<str>),
    #[error("its answer ended without a grpc-status")]
    NoStatus,
    #[error(
        "it takes no more calls at once: none of the {calls} on {connections} connections to it ended \
         within {waited:?}"
    )]
    Full { connections: usize, calls: usize, waited: Duration },
    #[error("its health check says {0}")]
    Unhealthy(Arc<str>),
    #[error("it did not answer a health check within {0:?}")]
    HealthTimeout(Duration),
}

impl Fault {
    /// What an HTTP/2 error of a call's stream means. `lost` is why the connection ended, where that is
    /// known: the stream itself only knows that it did.
    pub(super) fn of_stream(error: &h2::Error, lost: Option<Self>) -> Self {
        match error.reason() {
            Some(reason) if error.is_reset() => Self::Reset(reason),
            Some(reason) if error.is_go_away() && error.is_remote() => Self::GoneAway(reason),
            _ => lost.unwrap_or_else(|| Self::Lost(error.to_string().into())),
        }
    }

    /// Whether the backend says that it did not begin the call, so that a transparent retry is allowed.
    /// <https://www.rfc-editor.org/rfc/rfc9113#section-8.7>
    pub(super) const fn is_unseen(&self) -> bool {
        matches!(self, Self::GoneAway(_) | Self::Reset(Reason::REFUSED_STREAM))
    }

    /// Whether only a backend that is alive brings this about.
    pub(super) const fn is_sign_of_life(&self) -> bool {
        matches!(
            self,
            Self::GoneAway(_)
                | Self::Reset(_)
                | Self::Http(_)
                | Self::ContentType(_)
                | Self::NoStatus
                | Self::Full { .. }
        )
    }

    /// The code of an HTTP/2 error:
    /// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#errors>.
    fn code(&self) -> Code {
        match self {
            Self::Reset(Reason::REFUSED_STREAM) => Code::Unavailable,
            Self::Reset(Reason::CANCEL) => Code::Cancelled,
            Self::Reset(Reason::ENHANCE_YOUR_CALM) | Self::Full { .. } => Code::ResourceExhausted,
            Self::Reset(Reason::INADEQUATE_SECURITY) => Code::PermissionDenied,
            Self::Reset(_) | Self::NoStatus => Code::Internal,
            Self::Http(status) => code_of_http_status(status.as_u16()),
            Self::ContentType(_) => Code::Unknown,
            _ => Code::Unavailable,
        }
    }

    /// Its label in metrics.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Resolve(_) => "resolve",
            Self::NoAddress => "no_address",
            Self::Connect(_) => "connect",
            Self::ConnectTimeout(_) => "connect_timeout",
            Self::Tls(_) => "tls",
            Self::NoAlpn => "no_alpn",
            Self::NotHttp2(_) => "not_http2",
            Self::Silent(_) => "silent",
            Self::Dead(_) => "dead",
            Self::Lost(_) => "lost",
            Self::GoneAway(_) => "gone_away",
            Self::Reset(_) => "reset",
            Self::Http(_) => "http_status",
            Self::ContentType(_) => "content_type",
            Self::NoStatus => "no_status",
            Self::Full { .. } => "full",
            Self::Unhealthy(_) => "unhealthy",
            Self::HealthTimeout(_) => "health_timeout",
        }
    }

    /// The status for a call to `backend`.
    pub(super) fn status(&self, backend: &impl fmt::Display) -> Status {
        let message = format!("backend {backend}: {self}");
        if let Self::Full { .. } = self {
            let details = ErrorDetails::with_retry_info(Some(RETRY_DELAY));
            return Status::with_error_details(self.code(), message, details);
        }
        Status::new(self.code(), message)
    }

    /// The status for a call that would have been retried if its request were not too long for that.
    pub(super) fn status_of_a_long_request(&self, backend: &impl fmt::Display) -> Status {
        let why = "the request is too long to be kept and sent again";
        Status::new(self.code(), format!("backend {backend}: {self}; {why}"))
    }
}
