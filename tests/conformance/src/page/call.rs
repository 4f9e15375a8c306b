//! One call, made as its case says.

use std::{pin::pin, time::Duration};

use futures_util::future::{Either, select};
use gloo_timers::future::sleep;
use prost::{Message as _, Name};
use runnel_client::transport::{FetchTransport, MESSAGE_LIMIT_BYTES, Unary, by_fetch};
use tonic::{Request, Response, Status, metadata::MetadataMap};

use crate::{
    headers,
    proto::{
        ClientCompatRequest, ClientResponseResult, ConformancePayload, Error, ServerStreamRequest,
        client_compat_request::cancel::CancelTiming,
        conformance_service_client::ConformanceServiceClient,
    },
};

/// Makes the call; what came of it, or why it could not be made.
pub(super) async fn invoke(case: &ClientCompatRequest) -> Result<ClientResponseResult, String> {
    let cancel = case.cancel.as_ref().and_then(|cancel| cancel.cancel_timing.as_ref());
    let cancel_after_ms = match cancel {
        Some(CancelTiming::AfterCloseSendMs(ms)) => Some(*ms),
        // With `fetch`, a request is closed as soon as it is sent.
        Some(CancelTiming::BeforeCloseSend(())) => Some(0),
        Some(CancelTiming::AfterNumResponses(_)) | None => None,
    };
    let mut result = ClientResponseResult::default();
    // Dropped, a call is cancelled. The code that drops it knows, so nothing tells of it.
    let call = within(case.timeout_ms, make(case, cancel, &mut result));
    let dropped = match within(cancel_after_ms, call).await {
        Some(Some(made)) => {
            made?;
            None
        }
        Some(None) => Some(Status::deadline_exceeded("no answer within the deadline")),
        None => Some(Status::cancelled("dropped by the caller")),
    };
    if let Some(status) = dropped {
        result.error = Some(error_of(&status));
    }
    Ok(result)
}

/// What `future` gives, unless it takes longer than so many milliseconds; then it is dropped.
async fn within<F: Future>(limit_ms: Option<u32>, future: F) -> Option<F::Output> {
    let Some(limit_ms) = limit_ms else {
        return Some(future.await);
    };
    let limit = sleep(Duration::from_millis(limit_ms.into()));
    match select(pin!(future), pin!(limit)).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

async fn make(
    case: &ClientCompatRequest,
    cancel: Option<&CancelTiming>,
    result: &mut ClientResponseResult,
) -> Result<(), String> {
    // 0 is no limit, to the suite; that of the page then stands.
    let limit_bytes = match case.message_receive_limit {
        0 => MESSAGE_LIMIT_BYTES,
        limit => limit as usize,
    };
    let transport = by_fetch(format!("http://{}:{}", case.host, case.port), limit_bytes);
    let mut client = ConformanceServiceClient::new(transport);
    match case.method() {
        "Unary" => {
            let answer = client.unary(unary(case)?).await;
            take_unary(result, answer, |answer| answer.payload);
        }
        "IdempotentUnary" => {
            let answer = client.idempotent_unary(unary(case)?).await;
            take_unary(result, answer, |answer| answer.payload);
        }
        "Unimplemented" => {
            let answer = client.unimplemented(unary(case)?).await;
            take_unary(result, answer, |_| None);
        }
        "ServerStream" => {
            let cancel_after = match cancel {
                Some(CancelTiming::AfterNumResponses(responses)) => Some(*responses as usize),
                _ => None,
            };
            if let Err(status) = stream(&mut client, request(case)?, cancel_after, result).await {
                fail(result, &status);
            }
        }
        method => return Err(format!("a browser cannot call {method}")),
    }
    Ok(())
}

async fn stream(
    client: &mut ConformanceServiceClient<FetchTransport>,
    request: Request<ServerStreamRequest>,
    cancel_after: Option<usize>,
    result: &mut ClientResponseResult,
) -> Result<(), Status> {
    let answer = client.server_stream(request).await?;
    result.response_headers = headers::received(answer.metadata());
    let mut messages = answer.into_inner();
    while let Some(message) = messages.message().await? {
        result.payloads.push(message.payload.unwrap_or_default());
        if cancel_after == Some(result.payloads.len()) {
            return Err(Status::cancelled("dropped by the caller"));
        }
    }
    if let Some(trailers) = messages.trailers().await? {
        result.response_trailers = headers::received(&trailers);
    }
    Ok(())
}

fn take_unary<A>(
    result: &mut ClientResponseResult,
    answer: Result<Response<A>, Status>,
    payload: impl FnOnce(A) -> Option<ConformancePayload>,
) {
    match answer {
        Ok(answer) => {
            // tonic gives a unary caller headers and trailers in one map.
            result.response_headers = headers::received(answer.metadata());
            result.response_trailers = result.response_headers.clone();
            result.payloads.push(payload(answer.into_inner()).unwrap_or_default());
        }
        Err(status) => fail(result, &status),
    }
}

/// tonic's errors have headers and trailers in one map too.
fn fail(result: &mut ClientResponseResult, status: &Status) {
    result.response_trailers = headers::received(status.metadata());
    result.error = Some(error_of(status));
}

fn error_of(status: &Status) -> Error {
    let details = tonic_types::Status::decode(status.details()).unwrap_or_default().details;
    Error { code: status.code() as i32, message: Some(status.message().to_owned()), details }
}

/// The request of a unary call, marked as the page marks its own.
fn unary<M: Name + Default>(case: &ClientCompatRequest) -> Result<Request<M>, String> {
    let mut request = request(case)?;
    request.extensions_mut().insert(Unary);
    Ok(request)
}

fn request<M: Name + Default>(case: &ClientCompatRequest) -> Result<Request<M>, String> {
    let [message] = &case.request_messages[..] else {
        return Err(format!(
            "{} request messages, where one is wanted",
            case.request_messages.len()
        ));
    };
    let message = message.to_msg().map_err(|error| error.to_string())?;
    let headers = headers::to_send(&case.request_headers).map_err(|error| error.to_string())?;
    let mut request = Request::new(message);
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    if let Some(ms) = case.timeout_ms {
        request.set_timeout(Duration::from_millis(ms.into()));
    }
    Ok(request)
}
