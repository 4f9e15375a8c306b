//! One answer, judged as it comes: is it gRPC-Web at all, which of its bytes are messages, and how
//! does it end? Plain bytes and words; `fetch` feeds it.
//!
//! Faults of tonic-web-wasm-client 0.9.2 that this stands in for: it loses the HTTP status of an
//! answer without gRPC in it, panics on one in text mode, and takes any frame for as large as its
//! prefix says, up to 4 GiB.

use http::HeaderMap;

use super::{
    error::TransportError,
    frames::FrameWalk,
    trailers::{self, STATUS},
};

/// What the head of an answer says that matters here.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The HTTP status code; 0 for a redirect that was not followed, of which a browser tells no more.
    /// <https://fetch.spec.whatwg.org/#concept-filtered-response-opaque-redirect>
    pub http_status: u16,
    /// Its content type, if it has one.
    pub content_type: Option<&'a str>,
    /// `grpc-status` among the headers, where an answer without a body has it ("trailers-only").
    pub grpc_status: Option<&'a str>,
}

/// How an answer ended, if it kept the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With trailers, the status among them.
    Trailers {
        /// The trailers.
        trailers: HeaderMap,
        /// How many messages came before them.
        messages: u64,
    },
    /// Without a body: the status is in the head.
    HeadOnly,
}

/// An answer whose head has been read.
#[derive(Debug)]
pub struct Answer {
    walk: FrameWalk,
    http_status: u16,
    content_type: String,
    /// The head has a status, and no byte of a body has contradicted it.
    status_in_head: bool,
    /// The body is gRPC-Web, or there is no telling what it is.
    readable: bool,
}

impl Answer {
    /// Judges the head of an answer whose messages may have up to `message_limit_bytes`.
    pub fn begin(head: Head<'_>, message_limit_bytes: usize) -> Result<Self, TransportError> {
        if head.http_status == 0 {
            return Err(TransportError::Redirect);
        }
        let answer = Self {
            walk: FrameWalk::new(message_limit_bytes),
            http_status: head.http_status,
            content_type: head.content_type.unwrap_or(TransportError::NO_CONTENT_TYPE).to_owned(),
            status_in_head: head.grpc_status.is_some(),
            readable: head.content_type.is_some_and(is_grpc_web),
        };
        // A refusal by something that speaks gRPC, if not gRPC-Web, is still a refusal. An OK is not
        // an answer: its messages cannot be read.
        let refused = head.grpc_status.is_some_and(|status| status != "0");
        if answer.readable || refused { Ok(answer) } else { Err(answer.not_grpc()) }
    }

    /// The next piece of the body: how many bytes at its beginning are of messages, and the end of
    /// the answer, if it is in this piece.
    pub fn piece(&mut self, piece: &[u8]) -> (usize, Option<Result<Ending, TransportError>>) {
        if !self.readable {
            return (0, Some(Ok(Ending::HeadOnly)));
        }
        // Once there is a body, only its own trailers count.
        self.status_in_head &= piece.is_empty();
        let (message_bytes, walked) = self.walk.walk(piece);
        let ending = match walked {
            Ok(None) => None,
            Ok(Some(block)) => Some(self.trailers(&block)),
            Err(error) => Some(Err(error)),
        };
        (message_bytes, ending)
    }

    /// The body ended, without an ending in any piece of it.
    pub fn end(&self) -> Result<Ending, TransportError> {
        self.head_only_or(TransportError::CutOff)
    }

    /// Reading the body failed, with these words.
    pub fn broke(&self, detail: String) -> Result<Ending, TransportError> {
        if self.status_in_head {
            return Ok(Ending::HeadOnly);
        }
        Err(TransportError::Broken { detail })
    }

    fn trailers(&self, block: &[u8]) -> Result<Ending, TransportError> {
        let trailers = trailers::parse(block);
        if trailers.contains_key(STATUS) {
            return Ok(Ending::Trailers { trailers, messages: self.walk.messages() });
        }
        self.head_only_or(TransportError::NoStatus)
    }

    /// What an answer without a status in its body means: an HTTP error explains it best.
    fn head_only_or(&self, error: TransportError) -> Result<Ending, TransportError> {
        if self.status_in_head {
            Ok(Ending::HeadOnly)
        } else if self.http_status == 200 {
            Err(error)
        } else {
            Err(self.not_grpc())
        }
    }

    fn not_grpc(&self) -> TransportError {
        TransportError::Http { status: self.http_status, content_type: self.content_type.clone() }
    }
}

/// Whether a content type is binary gRPC-Web with protobuf messages, the only one that was asked for.
fn is_grpc_web(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    ["application/grpc-web", "application/grpc-web+proto"]
        .iter()
        .any(|known| media_type.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 100;
    const MESSAGE: &[u8] = b"\0\0\0\0\x03one";
    const OK: &[u8] = b"\x80\0\0\0\x0fgrpc-status: 0\n";
    const NO_STATUS: &[u8] = b"\x80\0\0\0\x04a: b";

    fn head(http_status: u16, content_type: &str) -> Head<'_> {
        Head { http_status, content_type: Some(content_type), grpc_status: None }
    }

    fn grpc_web(http_status: u16) -> Answer {
        Answer::begin(head(http_status, "application/grpc-web+proto"), LIMIT).unwrap()
    }

    fn refusal() -> Answer {
        let head = Head { grpc_status: Some("8"), ..head(200, "application/grpc-web") };
        Answer::begin(head, LIMIT).unwrap()
    }

    fn http(status: u16, content_type: &str) -> TransportError {
        TransportError::Http { status, content_type: content_type.to_owned() }
    }

    #[test]
    fn an_answer_ends_with_its_trailers() {
        let mut answer = grpc_web(200);
        assert_eq!(answer.piece(MESSAGE), (MESSAGE.len(), None));
        let (message_bytes, ending) = answer.piece(&[MESSAGE, OK].concat());
        assert_eq!(message_bytes, MESSAGE.len());
        let Some(Ok(Ending::Trailers { trailers, messages: 2 })) = ending else {
            panic!("{ending:?}");
        };
        assert_eq!(trailers[STATUS], "0");
    }

    #[test]
    fn only_binary_grpc_web_is_one() {
        for content_type in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "Application/gRPC-Web+proto; charset=utf-8",
        ] {
            assert!(Answer::begin(head(200, content_type), LIMIT).is_ok(), "{content_type}");
        }
        for content_type in [
            "text/html",
            "application/grpc",
            "application/grpc-web+json",
            // Not asked for; the library panics on it.
            "application/grpc-web-text",
            "application/grpc-web-text+proto",
            "",
        ] {
            let answer = Answer::begin(head(200, content_type), LIMIT);
            assert_eq!(answer.unwrap_err(), http(200, content_type));
        }
        let nothing = Head { http_status: 200, content_type: None, grpc_status: None };
        assert_eq!(
            Answer::begin(nothing, LIMIT).unwrap_err(),
            http(200, TransportError::NO_CONTENT_TYPE)
        );
    }

    #[test]
    fn an_error_page_keeps_its_http_status() {
        let page = Answer::begin(head(502, "text/html"), LIMIT);
        assert_eq!(page.unwrap_err(), http(502, "text/html"));
        // Also one that pretends.
        let type_ = "application/grpc-web+proto";
        assert_eq!(grpc_web(503).end(), Err(http(503, type_)));
        let (_, ending) = grpc_web(503).piece(NO_STATUS);
        assert_eq!(ending, Some(Err(http(503, type_))));
    }

    #[test]
    fn a_redirect_is_told_from_any_answer() {
        let redirect = Head { http_status: 0, content_type: None, grpc_status: None };
        assert_eq!(Answer::begin(redirect, LIMIT).unwrap_err(), TransportError::Redirect);
    }

    #[test]
    fn a_grpc_status_counts_more_than_the_http_status() {
        let (_, ending) = grpc_web(503).piece(OK);
        assert!(matches!(ending, Some(Ok(Ending::Trailers { .. }))), "{ending:?}");
    }

    #[test]
    fn without_trailers_it_was_cut_off_or_broke() {
        for begun in [MESSAGE, &MESSAGE[..3], &OK[..7], b""] {
            let mut answer = grpc_web(200);
            assert_eq!(answer.piece(begun).1, None);
            assert_eq!(answer.end(), Err(TransportError::CutOff));
            let broken = TransportError::Broken { detail: "reset".to_owned() };
            assert_eq!(answer.broke("reset".to_owned()), Err(broken));
        }
        assert_eq!(grpc_web(200).piece(NO_STATUS).1, Some(Err(TransportError::NoStatus)));
    }

    #[test]
    fn a_status_in_the_head_is_believed_unless_a_body_follows() {
        assert_eq!(refusal().end(), Ok(Ending::HeadOnly));
        assert_eq!(refusal().broke("reset".to_owned()), Ok(Ending::HeadOnly));

        let mut contradicted = refusal();
        let (_, ending) = contradicted.piece(OK);
        assert!(matches!(ending, Some(Ok(Ending::Trailers { .. }))), "{ending:?}");
        let mut contradicted = refusal();
        assert_eq!(contradicted.piece(MESSAGE).1, None);
        assert_eq!(contradicted.end(), Err(TransportError::CutOff));
    }

    #[test]
    fn a_refusal_in_plain_grpc_is_believed_and_an_ok_is_not() {
        let refusal = Head { grpc_status: Some("8"), ..head(200, "application/grpc") };
        let mut answer = Answer::begin(refusal, LIMIT).unwrap();
        assert_eq!(answer.piece(b"whatever"), (0, Some(Ok(Ending::HeadOnly))));
        assert_eq!(answer.end(), Ok(Ending::HeadOnly));

        let ok = Head { grpc_status: Some("0"), ..refusal };
        assert_eq!(Answer::begin(ok, LIMIT).unwrap_err(), http(200, "application/grpc"));
    }
}
