//! [`TransportError`]: what can go wrong between a call and the server's own response. It is the source of
//! every status that the transport makes, which tells such a status from one that came over the wire and
//! has no source.

use std::sync::Arc;

use runnel_wire::code_of_http_status;
use tonic::{Code, Status};

/// Why a call has no status from the server.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// `fetch` got no response: no connection, no such host, no network, or a response of another origin
    /// that CORS does not allow the page to read. Browsers do not say which.
    #[error("no answer came: {detail}")]
    NoAnswer {
        /// The browser's words.
        detail: String,
    },

    /// The connection broke while the response was arriving.
    #[error("the connection broke within the answer: {detail}")]
    Broken {
        /// The browser's words.
        detail: String,
    },

    /// The response ended without an error but before its status: a proxy cut it off.
    #[error("the answer ended before its status came")]
    CutOff,

    /// Somebody other than the caller aborted the request: the page was left, or the browser stopped.
    #[error("the request was aborted: {detail}")]
    Aborted {
        /// The browser's words.
        detail: String,
    },

    /// The call was redirected, most likely to a sign-in page. gRPC servers do not redirect, so it is not
    /// followed; browsers do not say where it leads.
    #[error("a redirect, where gRPC-Web was expected")]
    Redirect,

    /// An HTTP response without a gRPC status: an error page of a proxy or of another server.
    #[error("HTTP {status} with {content_type}, where gRPC-Web was expected")]
    Http {
        /// The HTTP status code.
        status: u16,
        /// The content type of the response, or a text that says that it has none.
        content_type: String,
    },

    /// The response was gRPC-Web with trailers, but without `grpc-status` among them.
    #[error("the answer's trailers have no grpc-status")]
    NoStatus,

    /// A message, or the trailers, are larger than the caller allows.
    #[error("the answer has a frame of {frame_bytes} bytes; {limit_bytes} are allowed")]
    TooLarge {
        /// The size in the frame's prefix.
        frame_bytes: u32,
        /// The largest size that the caller allows.
        limit_bytes: usize,
    },

    /// A frame that is neither a message nor plain trailers.
    #[error("the answer has a frame with the unknown flags {flags:#04x}")]
    Flags {
        /// The frame's first byte.
        flags: u8,
    },

    /// The response is compressed with an encoding that the client did not offer.
    #[error("the answer has the grpc-encoding {encoding}, which was not asked for")]
    Encoding {
        /// The encoding of the response.
        encoding: String,
    },

    /// The response to a unary call has no message, or several.
    #[error("the answer to a unary call has {messages} messages")]
    NotOneMessage {
        /// The number of messages.
        messages: u64,
    },

    /// Any other error of tonic-web-wasm-client, such as a request header that no browser sends.
    #[error("{detail}")]
    Library {
        /// Its message.
        detail: String,
    },
}

impl TransportError {
    /// The text for a response without a content type.
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
