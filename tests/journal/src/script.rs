//! A transport that answers by a script, for tests of the policy: what was asked is kept, and with the
//! clock stopped every wait can be told exactly.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use prost::Message;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response};
use tonic::codegen::{Bytes, Service};
use tonic::{Code, Status};

use runnel_client::transport::{TransportError, Unary};

/// What a call is answered with.
pub enum Answer {
    /// Nothing, ever.
    Silence,
    /// A status and nothing else.
    Refusal(Status),
    /// No answer of the server's: what the transport met.
    Failure(TransportError),
    /// Messages, and then this.
    Messages(Vec<Vec<u8>>, End),
}

/// How an answer ends.
#[derive(Clone, Copy)]
pub enum End {
    /// Well.
    Ok,
    /// With no status.
    Cut,
    /// With UNAVAILABLE.
    Drained,
    /// Not.
    Silence,
}

/// Answers with these messages.
pub fn messages<M: Message>(messages: impl IntoIterator<Item = M>, end: End) -> Answer {
    Answer::Messages(messages.into_iter().map(|message| message.encode_to_vec()).collect(), end)
}

/// Answers with one message.
pub fn message(message: &impl Message) -> Answer {
    Answer::Messages(vec![message.encode_to_vec()], End::Ok)
}

/// What was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub headers: HeaderMap,
    /// The message, without its prefix.
    pub message: Bytes,
    /// Whether one answer was to come.
    pub is_unary: bool,
    pub at: Instant,
}

impl Asked {
    /// The message.
    pub fn request<M: Message + Default>(&self) -> M {
        M::decode(self.message.clone()).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// The transport. When the script is over, every call is refused with UNAVAILABLE.
#[derive(Clone, Default)]
pub struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// As many more references as there are calls without an answer.
    unanswered: Arc<()>,
    /// As many more references as there are answers that are read.
    unread: Arc<()>,
}

impl Script {
    pub fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers = Arc::new(Mutex::new(answers.into_iter().collect()));
        Self { answers, ..Self::default() }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Calls that wait for their answer.
    pub fn waiting(&self) -> usize {
        Arc::strong_count(&self.unanswered) - Arc::strong_count(&self.answers)
    }

    /// Answers that have begun and are neither at their end nor dropped.
    pub fn reading(&self) -> usize {
        Arc::strong_count(&self.unread) - Arc::strong_count(&self.answers)
    }

    /// Adds to the script.
    pub fn push(&self, answer: Answer) {
        self.answers.lock().unwrap().push_back(answer);
    }
}

impl Service<Request<Body>> for Script {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.answers.lock().unwrap().pop_front();
        let (asked, unanswered) = (Arc::clone(&self.asked), Arc::clone(&self.unanswered));
        let unread = Arc::clone(&self.unread);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let message = body.collect().await.unwrap().to_bytes().slice(5..);
            let is_unary = head.extensions.get::<Unary>().is_some();
            let at = Instant::now();
            asked.lock().unwrap().push(Asked { headers: head.headers, message, is_unary, at });
            let response = match answer {
                None => Status::unavailable("the script is over").into_http(),
                Some(Answer::Refusal(status)) => status.into_http(),
                Some(Answer::Failure(error)) => return Err(error.into()),
                Some(Answer::Messages(messages, end)) => respond(messages, end, unread),
                Some(Answer::Silence) => pending().await,
            };
            drop(unanswered);
            Ok(response)
        })
    }
}

fn respond(messages: Vec<Vec<u8>>, end: End, unread: Arc<()>) -> Response<Body> {
    let framed = messages.into_iter().map(|message| {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        Ok(http_body::Frame::data(Bytes::from([&[0], &length[..], &message].concat())))
    });
    let status = |code: Code| {
        let code = HeaderValue::from(code as i32);
        let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, code)]);
        stream::iter([Ok(http_body::Frame::trailers(trailers))]).boxed()
    };
    let end = match end {
        End::Ok => status(Code::Ok),
        End::Drained => status(Code::Unavailable),
        End::Cut => stream::empty().boxed(),
        End::Silence => stream::pending().boxed(),
    };
    let frames = stream::iter(framed).chain(end);
    let frames = frames.map(move |frame: Result<_, Status>| {
        // Moves it in here: it is dropped with the body.
        let _ = &unread;
        frame
    });
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", grpc);
    response
}
