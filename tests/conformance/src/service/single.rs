//! The answer of a method that answers with one message.

use std::time::Duration;

use runnel_rpc::Trailers;
use tokio::time::sleep;
use tonic::{Response, Status, metadata::MetadataMap};

use super::call::Call;
use crate::{
    headers,
    proto::{ConformancePayload, UnaryResponseDefinition, unary_response_definition},
};

/// What `definition` says; the echo alone, if there is none.
pub(super) async fn answer(
    call: &Call,
    definition: Option<UnaryResponseDefinition>,
) -> Result<Response<ConformancePayload>, Status> {
    let definition = definition.unwrap_or_default();
    let mut sent_headers = headers::to_send(&definition.response_headers)?;
    let trailers = headers::to_send(&definition.response_trailers)?;
    sleep(Duration::from_millis(definition.response_delay_ms.into())).await;

    let data = match definition.response {
        Some(unary_response_definition::Response::Error(error)) => {
            // Such an answer is one block of headers, which serves as trailers too.
            sent_headers.extend(trailers);
            let metadata = MetadataMap::from_headers(sent_headers);
            return Err(call.status(error, true, metadata)?);
        }
        Some(unary_response_definition::Response::ResponseData(data)) => data,
        None => Vec::new(),
    };
    let payload = ConformancePayload { data, request_info: Some(call.info()) };
    let mut response = Response::new(payload);
    *response.metadata_mut() = MetadataMap::from_headers(sent_headers);
    response.extensions_mut().insert(Trailers(trailers));
    Ok(response)
}
