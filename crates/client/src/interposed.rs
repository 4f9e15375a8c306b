//! What a caller can do about a call without a status from the server: the transport got another response,
//! or none.

use tonic::Code;

use crate::CallError;
use crate::transport::TransportError;

impl From<&TransportError> for CallError {
    fn from(error: &TransportError) -> Self {
        let detail = error.to_string();
        match error {
            TransportError::NoAnswer { .. }
            | TransportError::Broken { .. }
            | TransportError::CutOff => Self::Unreachable { detail, may_have_begun: true },
            TransportError::Http { status: 200, content_type } if is_cut(content_type) => {
                let detail = "the head of the answer was cut off".to_owned();
                Self::Unreachable { detail, may_have_begun: true }
            }
            TransportError::Aborted { .. } => Self::Cancelled,
            // 511 is a network that wants a person to sign in first (RFC 6585 section 6).
            TransportError::Redirect | TransportError::Http { status: 511, .. } => {
                Self::Redirected { detail }
            }
            TransportError::Http { status, .. } if is_passing(*status) => {
                Self::Unreachable { detail, may_have_begun: !is_untouched(*status) }
            }
            TransportError::Http { .. } => match error.code() {
                code @ (Code::Unauthenticated | Code::PermissionDenied) => refusal(code, detail),
                code => Self::Interposed { code, detail },
            },
            TransportError::TooLarge { .. } => refusal(error.code(), detail),
            _ => Self::Protocol { detail },
        }
    }
}

/// Whether an HTTP status instead of a gRPC status is temporary, so that an idempotent call may be made
/// again. The other statuses would be the same the next time.
fn is_passing(status: u16) -> bool {
    match status {
        // Timed out, too early, too many (RFC 9110 section 15.5.9, RFC 8470, RFC 6585 section 4).
        408 | 425 | 429 => true,
        // What is not implemented, a version, a loop, an extension or a sign-in missing.
        501 | 505 | 506 | 508 | 510 | 511 => false,
        // Proxies have numbers of their own for a server that they do not reach, such as 520 to 530.
        // <https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/>
        status => (500..600).contains(&status),
    }
}

/// Whether an HTTP status says that the request was not processed at all: it did not arrive completely, or
/// arrived too early (RFC 9110 section 15.5.9, RFC 8470 section 5.2).
fn is_untouched(status: u16) -> bool {
    matches!(status, 408 | 425)
}

fn refusal(code: Code, message: String) -> CallError {
    CallError::Refused { code, message, violations: Vec::new(), retry_delay: None }
}

/// Chromium accepts a head that was cut off as if it were complete, so that a part of the content type, or
/// all of it, can be missing.
fn is_cut(content_type: &str) -> bool {
    content_type == TransportError::NO_CONTENT_TYPE
        || "application/grpc-web+proto".starts_with(content_type)
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;

    #[test]
    fn what_the_transport_met_is_told_apart() {
        let http = |status| TransportError::Http { status, content_type: "text/html".into() };
        let detail = || "reset".to_owned();
        for error in [
            TransportError::NoAnswer { detail: detail() },
            TransportError::Broken { detail: detail() },
            TransportError::CutOff,
            http(502),
            http(500),
        ] {
            let words = error.to_string();
            let error = CallError::from(Status::from(error));
            assert_eq!(error, CallError::Unreachable { detail: words, may_have_begun: true });
        }
        let refused = CallError::from(Status::from(http(403)));
        assert!(matches!(refused, CallError::Refused { code: Code::PermissionDenied, .. }));
        for error in [TransportError::NoStatus, TransportError::Flags { flags: 2 }] {
            let error = CallError::from(Status::from(error));
            assert!(matches!(error, CallError::Protocol { .. }), "{error:?}");
        }
        let redirected = CallError::from(Status::from(TransportError::Redirect));
        assert!(matches!(redirected, CallError::Redirected { .. }));
        let too_large = TransportError::TooLarge { frame_bytes: 9, limit_bytes: 8 };
        assert_eq!(CallError::from(&too_large).code(), Code::ResourceExhausted);
        let aborted = TransportError::Aborted { detail: detail() };
        assert_eq!(CallError::from(Status::from(aborted)), CallError::Cancelled);
    }

    #[test]
    fn an_answer_whose_head_was_cut_off_is_no_answer_and_a_page_is_one() {
        let answered = |status, content_type: &str| {
            let content_type = content_type.to_owned();
            CallError::from(&TransportError::Http { status, content_type })
        };
        for cut in [TransportError::NO_CONTENT_TYPE, "appl", "application/grpc"] {
            assert!(answered(200, cut).is_transient(), "{cut}");
        }
        assert!(!answered(200, "text/html").is_transient());
        assert!(!answered(404, TransportError::NO_CONTENT_TYPE).is_transient());
        assert!(answered(502, "text/html").is_transient());
    }

    /// What each HTTP status in the place of a gRPC one means to a call, and to a stream with messages.
    #[test]
    fn every_http_status_is_asked_again_given_up_or_waited_out() {
        for status in 200..=999 {
            let content_type = "text/html".to_owned();
            let error = CallError::from(&TransportError::Http { status, content_type });
            let (again, with_messages) = match status {
                408 | 425 | 429 | 500 | 502..=504 | 507 | 509 | 512..=599 => (true, true),
                // Nothing changes until a person signs in.
                401 | 403 | 511 => (false, false),
                _ => (false, true),
            };
            assert_eq!(error.is_transient(), again, "{status}: {error:?}");
            assert_eq!(error.is_resumable_with_messages(), with_messages, "{status}: {error:?}");
            assert!(error.keeps_its_place(), "{status}: {error:?}");
        }
    }

    #[test]
    fn a_redirect_is_not_waited_out_and_keeps_the_place_of_a_stream() {
        let redirected = CallError::from(&TransportError::Redirect);
        assert!(!redirected.is_transient() && !redirected.is_resumable_with_messages());
        assert!(redirected.keeps_its_place() && redirected.wants_reload());
        let invalid = CallError::from(Status::invalid_argument("no"));
        assert!(!invalid.keeps_its_place() && !invalid.wants_reload());
    }
}
