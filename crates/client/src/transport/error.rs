//! [`TransportError`]: what can go wrong between a call and the server's own answer. It is the source
//! of every status made here, so that a status which came over the wire, having none, is told apart.

use std::sync::Arc;

use runnel_wire::code_of_http_status;
use tonic::{Code, Status};

/// Why a call has no status of the server's own.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// `fetch` was given no answer: no connection, no such host, no network, or an answer of another
    /// origin that its server does not share. Browsers do not say which.
    #[error("no answer came: {detail}")]
    NoAnswer {
        /// The browser's words.
        detail: String,
    },

    /// The connection broke while the answer was arriving.
    #[error("the connection broke within the answer: {detail}")]
    Broken {
        /// The browser's words.
        detail: String,
    },

    /// The answer ended in good order, but before its status: a proxy cut it off.
    #[error("the answer ended before its status came")]
    CutOff,

    /// Somebody other than the caller aborted the request: the page was left, or the browser stopped.
    #[error("the request was aborted: {detail}")]
    Aborted {
        /// The browser's words.
        detail: String,
    },

    /// The call was sent elsewhere, to sign in most likely. No gRPC server does that, so it is not
    /// followed; and where to, no browser says.
    #[error("a redirect, where gRPC-Web was expected")]
    Redirect,

    /// An HTTP answer without a gRPC status in it: a proxy's error page, or another server's.
    #[error("HTTP {status} with {content_type}, where gRPC-Web was expected")]
    Http {
        /// The HTTP status code.
        status: u16,
        /// The answer's content type, or words for none.
        content_type: String,
    },

    /// The answer was gRPC-Web with trailers, but without `grpc-status` among them.
    #[error("the answer's trailers have no grpc-status")]
    NoStatus,

    /// A message, or the trailers, said to be larger than the caller takes.
    #[error("the answer has a frame of {frame_bytes} bytes; {limit_bytes} are allowed")]
    TooLarge {
        /// What the frame's prefix says.
        frame_bytes: u32,
        /// What would be taken.
        limit_bytes: usize,
    },

    /// A frame that is neither a message nor plain trailers.
    #[error("the answer has a frame with the unknown flags {flags:#04x}")]
    Flags {
        /// The frame's first byte.
        flags: u8,
    },

    /// The answer is compressed in a way that was not asked for.
    #[error("the answer has the grpc-encoding {encoding}, which was not asked for")]
    Encoding {
        /// What the answer says.
        encoding: String,
    },

    /// The answer to a unary call has no message, or several.
    #[error("the answer to a unary call has {messages} messages")]
    NotOneMessage {
        /// How many it has.
        messages: u64,
    },

    /// Anything else the library beneath said; such as a request header that no browser sends.
    #[error("{detail}")]
    Library {
        /// Its words.
        detail: String,
    },
}

impl TransportError {
    /// The content type of an answer that has none.
    pub const NO_CONTENT_TYPE: &str = "no content type";

    /// The gRPC code that stands for this error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NoAnswer { .. } | Self::Broken { .. } => Code::Unavailable,
            Self::Aborted { .. } => Code::Cancelled,
            Self::Http { status, .. } => code_of_http_status(*status),
            Self::TooLarge { .. } => Code::ResourceExhausted,
            // "Response cardinality violation", in the words of the status code guide.
            // <https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>
            Self::NotOneMessage { .. } => Code::Unimplemented,
            Self::NoStatus | Self::Redirect => Code::Unknown,
            Self::CutOff | Self::Flags { .. } | Self::Encoding { .. } | Self::Library { .. } => {
                Code::Internal
            }
        }
    }
}

impl From<TransportError> for Status {
    fn from(error: TransportError) -> Self {
        let mut status = Self::new(error.code(), error.to_string());
        status.set_source(Arc::new(error));
        status
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn a_status_made_here_carries_its_cause_through_tonic() {
        let cause = TransportError::Http { status: 502, content_type: "text/html".to_owned() };
        let status = Status::from_error(Status::from(cause.clone()).into());
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.message(), "HTTP 502 with text/html, where gRPC-Web was expected");
        let source = status.source().and_then(|source| source.downcast_ref::<TransportError>());
        assert_eq!(source, Some(&cause));
    }
}
