//! [`CallError`]: why a call failed, in kinds that differ in what a caller can do. This is the only place
//! that reads a [`tonic::Status`]; `interposed` judges a response that has none.

use std::error::Error;
use std::io;
use std::time::Duration;

use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tonic_types::StatusExt;

use crate::transport::TransportError;

/// Why a call failed.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The server was not reached, or its response was cut off. Calling again may help.
    #[error("the server could not be reached: {detail}")]
    Unreachable {
        /// The transport's error, or what was missing.
        detail: String,
        /// Whether the server may have seen the call; `false` if it certainly did not.
        may_have_begun: bool,
    },

    /// The call's deadline passed, at the client or at the server.
    #[error("the call took too long: {message}")]
    TimedOut {
        /// The message of the side that gave up.
        message: String,
    },

    /// The server refused the call. The same call again is refused again, unless the code says otherwise.
    #[error("the server refused: {message} ({})", crate::code_name(*.code))]
    Refused {
        /// The status code; never [`Code::Ok`].
        code: Code,
        /// The server's message.
        message: String,
        /// The fields of the request that the server found wrong; empty if it named none.
        violations: Vec<FieldViolation>,
        /// How long the server asks the client to wait before the same call (`google.rpc.RetryInfo`);
        /// `None` if it does not ask.
        retry_delay: Option<Duration>,
    },

    /// The call was cancelled before it ended.
    #[error("the call was cancelled")]
    Cancelled,

    /// Another program on the way responded instead of the server: a proxy with an error page, or a sign-in
    /// page.
    #[error("something else answered in the server's place: {detail}")]
    Interposed {
        /// The code that the gRPC specification gives the HTTP status.
        code: Code,
        /// What came.
        detail: String,
    },

    /// The call was redirected, most likely to a sign-in page. Only a reload of the page can follow the
    /// redirect.
    #[error("the call was sent elsewhere: {detail}")]
    Redirected {
        /// What came.
        detail: String,
    },

    /// The server's response breaks the protocol: it is not gRPC-Web, or its messages are out of order.
    #[error("the answer was not understood: {detail}")]
    Protocol {
        /// What was wrong with the response.
        detail: String,
    },
}

/// One field of a request that the server found wrong.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// The field's name in the contract, such as `length`.
    pub field: String,
    /// The server's description of what is wrong with it.
    pub description: String,
}

impl CallError {
    /// The gRPC code that stands for this error, whether a server sent it or not.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Unreachable { .. } => Code::Unavailable,
            Self::TimedOut { .. } => Code::DeadlineExceeded,
            Self::Refused { code, .. } | Self::Interposed { code, .. } => *code,
            Self::Redirected { .. } => Code::Unauthenticated,
            Self::Cancelled => Code::Cancelled,
            Self::Protocol { .. } => Code::Internal,
        }
    }

    /// Whether the same call may succeed if it is made again soon.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { code, retry_delay, .. } => {
                *code == Code::Unavailable || retry_delay.is_some()
            }
            Self::TimedOut { .. }
            | Self::Cancelled
            | Self::Interposed { .. }
            | Self::Redirected { .. }
            | Self::Protocol { .. } => false,
        }
    }

    /// Whether the call certainly did not begin, so that it may be made again even if it is not idempotent:
    /// no connection could be opened, or a proxy said that it did not process the request.
    #[must_use]
    pub fn did_not_begin(&self) -> bool {
        matches!(self, Self::Unreachable { may_have_begun: false, .. })
    }

    /// Whether a stream that failed with this error is worth resuming. Streams set no deadline, so one that
    /// passed is a cap of the server or a proxy on the duration of one response; the rest comes in the next
    /// response.
    #[must_use]
    pub fn is_resumable(&self) -> bool {
        self.is_transient() || matches!(self, Self::TimedOut { .. })
    }

    /// The same for a stream that has received messages: the way to the server was open before, so a
    /// proxy's error may be temporary.
    #[must_use]
    pub fn is_resumable_with_messages(&self) -> bool {
        self.is_resumable() || matches!(self, Self::Interposed { .. })
    }

    /// Whether a person can continue a stream that failed with this error where it broke, instead of
    /// starting again: the request itself was right, and the cause can be removed elsewhere. For instance,
    /// a person who signs in in another tab keeps the rows of this one.
    #[must_use]
    pub fn keeps_its_place(&self) -> bool {
        self.is_resumable_with_messages()
            || matches!(
                self,
                Self::Redirected { .. }
                    | Self::Refused { code: Code::Unauthenticated | Code::PermissionDenied, .. }
            )
    }

    /// Whether reloading the page may help, because the page meets the same redirect and follows it.
    #[must_use]
    pub fn wants_reload(&self) -> bool {
        matches!(self, Self::Interposed { .. } | Self::Redirected { .. })
            || matches!(self.code(), Code::Unauthenticated | Code::Unimplemented)
    }

    /// The message of the server or the transport, unchanged; empty if there is none.
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Self::Unreachable { detail, .. }
            | Self::Interposed { detail, .. }
            | Self::Redirected { detail }
            | Self::Protocol { detail } => detail,
            Self::TimedOut { message } | Self::Refused { message, .. } => message,
            Self::Cancelled => "",
        }
    }

    /// How long the server asked the client to wait.
    #[must_use]
    pub fn retry_delay(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_delay, .. } => *retry_delay,
            _ => None,
        }
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::DeadlineExceeded => Self::TimedOut { message: status.message().to_owned() },
            Code::Cancelled if ran_out_of_time(&status) => {
                Self::TimedOut { message: status.message().to_owned() }
            }
            Code::Cancelled => Self::Cancelled,
            // A status that came over the wire has no source; one with a source was made here, from
            // an error of the transport.
            code => match status.source() {
                Some(source) => match source.downcast_ref::<TransportError>() {
                    Some(error) => error.into(),
                    None if code == Code::Internal => Self::Protocol { detail: root_of(source) },
                    None => Self::Unreachable {
                        detail: root_of(source),
                        may_have_begun: !is_no_connection(source),
                    },
                },
                None if is_cut_off(&status) => Self::Unreachable {
                    detail: "the answer was cut off before its end".to_owned(),
                    may_have_begun: true,
                },
                None if is_tonics_own(&status) => {
                    Self::Protocol { detail: status.message().to_owned() }
                }
                None => refused(&status),
            },
        }
    }
}

fn refused(status: &Status) -> CallError {
    let violations = status.get_details_bad_request().map_or_else(Vec::new, |bad_request| {
        bad_request
            .field_violations
            .into_iter()
            .map(|v| FieldViolation { field: v.field, description: v.description })
            .collect()
    });
    let retry_delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let message = status.message().to_owned();
    CallError::Refused { code: status.code(), message, violations, retry_delay }
}

/// tonic's own channel looks at `grpc-timeout` too, and calls a deadline that passed CANCELLED.
fn ran_out_of_time(status: &Status) -> bool {
    status.source().is_some_and(|source| chain(source).any(<dyn Error>::is::<TimeoutExpired>))
}

/// Whether no connection could be opened for the call: tonic's own channel reports this, and so does a
/// transport whose operating system refused the connection.
fn is_no_connection(source: &(dyn Error + 'static)) -> bool {
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    chain(source).any(|error| {
        error.is::<ConnectError>() || error.downcast_ref::<io::Error>().is_some_and(refused)
    })
}

/// An error and its causes, outermost first.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Whether tonic found a response to be cut off. Only the message tells such a status from one that a
/// server sent.
fn is_cut_off(status: &Status) -> bool {
    is_tonics(status, &["protocol error: missing grpc-status trailer", "Unexpected EOF decoding"])
}

/// Whether tonic could not read the response.
fn is_tonics_own(status: &Status) -> bool {
    is_tonics(status, &["protocol error", "Missing response message"])
}

fn is_tonics(status: &Status, words: &[&str]) -> bool {
    matches!(status.code(), Code::Internal | Code::Unknown)
        && words.iter().any(|words| status.message().starts_with(words))
}

/// The innermost error, which says most: the outer ones are "transport error" and the like.
fn root_of(error: &(dyn Error + 'static)) -> String {
    chain(error).last().unwrap_or(error).to_string()
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_refusal_names_the_fields_at_fault() {
        let details = ErrorDetails::with_bad_request_violation("length", "must not be negative");
        let status =
            Status::with_error_details(Code::InvalidArgument, "length is negative", details);
        assert_eq!(
            CallError::from(status),
            CallError::Refused {
                code: Code::InvalidArgument,
                message: "length is negative".into(),
                violations: vec![FieldViolation {
                    field: "length".into(),
                    description: "must not be negative".into(),
                }],
                retry_delay: None,
            }
        );
    }

    #[test]
    fn a_refusal_without_details_or_with_broken_ones_keeps_its_code() {
        let plain = Status::resource_exhausted("too long");
        let broken = Status::with_details(Code::ResourceExhausted, "too long", vec![0xff].into());
        for status in [plain, broken] {
            assert_eq!(
                CallError::from(status),
                CallError::Refused {
                    code: Code::ResourceExhausted,
                    message: "too long".into(),
                    violations: vec![],
                    retry_delay: None,
                }
            );
        }
    }

    #[test]
    fn a_refusal_tells_when_to_try_again() {
        let second = Duration::from_secs(1);
        let details = ErrorDetails::with_retry_info(Some(second));
        let full = Status::with_error_details(Code::ResourceExhausted, "full", details);
        let full = CallError::from(full);
        assert_eq!(full.retry_delay(), Some(second));
        assert!(full.is_transient());
        assert!(!CallError::from(Status::resource_exhausted("too long")).is_transient());
        assert!(CallError::from(Status::unavailable("draining")).is_transient());
    }

    #[test]
    fn a_transport_error_is_unreachable_and_tells_the_root_cause() {
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
        let status = Status::from_error(Box::new(refused));
        assert_eq!(status.code(), Code::Unknown);
        assert_eq!(
            CallError::from(status),
            CallError::Unreachable { detail: "connection refused".into(), may_have_begun: false }
        );
    }

    #[test]
    fn unavailable_from_the_server_is_a_refusal_and_from_the_transport_is_not() {
        let sent = CallError::from(Status::unavailable("draining"));
        assert!(matches!(sent, CallError::Refused { code: Code::Unavailable, .. }), "{sent:?}");

        let mut made = Status::unavailable("tcp connect error");
        made.set_source(std::sync::Arc::new(io::Error::other("no route to host")));
        let made = CallError::from(made);
        let detail = "no route to host".into();
        assert_eq!(made, CallError::Unreachable { detail, may_have_begun: true });
        assert_eq!(made.code(), Code::Unavailable);
    }

    #[test]
    fn deadlines_and_cancellations_have_names_of_their_own() {
        let late = CallError::from(Status::deadline_exceeded("2 s"));
        assert_eq!(late, CallError::TimedOut { message: "2 s".into() });
        assert_eq!(CallError::from(Status::cancelled("")), CallError::Cancelled);
    }

    #[test]
    fn an_answer_without_its_end_was_cut_off_and_is_not_the_servers_word() {
        for status in [
            Status::unknown("protocol error: missing grpc-status trailer, ..."),
            Status::internal("Unexpected EOF decoding stream."),
        ] {
            let error = CallError::from(status);
            assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
            assert!(error.is_transient());
        }
        let garbled = CallError::from(Status::internal("protocol error: invalid compression flag"));
        assert!(matches!(garbled, CallError::Protocol { .. }));
        let servers_own = CallError::from(Status::unknown("disk on fire"));
        assert!(matches!(servers_own, CallError::Refused { code: Code::Unknown, .. }));
    }

    #[test]
    fn a_deadline_that_the_channel_kept_is_a_deadline() {
        let late = Status::from_error(Box::new(TimeoutExpired(())));
        assert_eq!(late.code(), Code::Cancelled);
        assert!(matches!(CallError::from(late), CallError::TimedOut { .. }));
    }
}
