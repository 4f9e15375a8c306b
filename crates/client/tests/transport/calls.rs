//! Calls of a service, by our transport and by the library alone, and what comes of them.

use std::error::Error as _;

use journal::journal_client::JournalClient;
use journal::{LastRequest, ReadRequest};
use runnel_client::transport::{FetchTransport, TransportError, Unary, by_fetch};
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status};
use tonic_web_wasm_client::Client;

use crate::scripted::{Answer, Scripted};

pub(crate) const ORIGIN: &str = "http://server.test";
pub(crate) const LIMIT_BYTES: usize = 1000;

pub(crate) fn ours() -> FetchTransport {
    by_fetch(ORIGIN.to_owned(), LIMIT_BYTES)
}

pub(crate) fn bare() -> Client {
    Client::new(ORIGIN.to_owned())
}

/// What came of a `Read`.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) ids: Vec<u8>,
    pub(crate) end: Result<MetadataMap, Status>,
}

impl Outcome {
    pub(crate) fn code(&self) -> Code {
        self.end.as_ref().map_or_else(Status::code, |_| Code::Ok)
    }

    /// Why our transport failed, if the server did not say.
    pub(crate) fn cause(&self) -> Option<&TransportError> {
        self.end.as_ref().err()?.source()?.downcast_ref()
    }

    pub(crate) fn trailer(&self, name: &str) -> Vec<&str> {
        let all = self.end.as_ref().unwrap().get_all(name);
        all.iter().map(|value| value.to_str().unwrap()).collect()
    }
}

pub(crate) async fn stream<T>(transport: T, answer: &Answer) -> Outcome
where
    T: GrpcService<Body, Error: Into<StdError>> + Clone,
    T::ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
{
    let _scripted = Scripted::new(Some(answer.clone()));
    call(transport).await
}

pub(crate) async fn call<T>(transport: T) -> Outcome
where
    T: GrpcService<Body, Error: Into<StdError>> + Clone,
    T::ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
{
    let mut ids = Vec::new();
    let mut entries = match JournalClient::new(transport).read(ReadRequest::default()).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Outcome { ids, end: Err(status) },
    };
    loop {
        match entries.message().await {
            Ok(Some(entry)) => ids.push(entry.cursor.parse().unwrap()),
            Ok(None) => break,
            Err(status) => return Outcome { ids, end: Err(status) },
        }
    }
    let end = entries.trailers().await.map(Option::unwrap_or_default);
    Outcome { ids, end }
}

/// The text of the newest entry, by our transport and as a unary call.
pub(crate) async fn last(answer: &Answer) -> Result<String, Status> {
    let _scripted = Scripted::new(Some(answer.clone()));
    let mut request = Request::new(LastRequest::default());
    request.extensions_mut().insert(Unary);
    let answer = JournalClient::new(ours()).last(request).await?;
    Ok(answer.into_inner().text)
}
