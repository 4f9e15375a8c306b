//! What has come in with a call so far: what every answer echoes.

use prost::Name;
use prost_types::Any;
use tonic::{Code, Request, Status, metadata::MetadataMap};
use tonic_types::pb;

use crate::{
    headers,
    proto::{Error, conformance_payload::RequestInfo},
};

/// A call: its headers, and the messages that no answer has echoed yet.
#[derive(Debug)]
pub(super) struct Call {
    metadata: MetadataMap,
    messages: Vec<Any>,
}

impl Call {
    pub(super) fn without_messages<T>(request: &Request<T>) -> Self {
        Self { metadata: request.metadata().clone(), messages: Vec::new() }
    }

    /// A call with the one message it may have.
    pub(super) fn with_one<M: Name>(request: &Request<M>) -> Result<Self, Status> {
        let mut call = Self::without_messages(request);
        call.received(request.get_ref())?;
        Ok(call)
    }

    pub(super) fn received(&mut self, message: &impl Name) -> Result<(), Status> {
        self.messages.push(any(message)?);
        Ok(())
    }

    /// The messages since the last time this was asked.
    pub(super) fn take_messages(&mut self) -> Vec<Any> {
        std::mem::take(&mut self.messages)
    }

    /// All of it, as an answer echoes it.
    pub(super) fn info(&self) -> RequestInfo {
        RequestInfo {
            request_headers: headers::received(&self.metadata),
            timeout_ms: timeout_ms(&self.metadata),
            requests: self.messages.clone(),
            connect_get_info: None,
        }
    }

    /// `error` as a status; with the echo, where no answer could carry it.
    pub(super) fn status(
        &self,
        error: Error,
        echo: bool,
        metadata: MetadataMap,
    ) -> Result<Status, Status> {
        let Error { code, message, mut details } = error;
        let message = message.unwrap_or_default();
        if echo {
            details.push(any(&self.info())?);
        }
        // On the wire the details are a whole status of their own.
        let details = if details.is_empty() {
            Vec::new()
        } else {
            prost::Message::encode_to_vec(&pb::Status { code, message: message.clone(), details })
        };
        let code = Code::from_i32(code);
        Ok(Status::with_details_and_metadata(code, message, details.into(), metadata))
    }
}

fn any(message: &impl Name) -> Result<Any, Status> {
    Any::from_msg(message).map_err(|error| Status::internal(error.to_string()))
}

/// `grpc-timeout` as the suite counts it. None if there is none, or none that makes sense: the layers
/// are what refuses that.
fn timeout_ms(metadata: &MetadataMap) -> Option<i64> {
    let value = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (amount, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    let amount: i64 = amount.parse().ok()?;
    Some(match unit {
        "H" => amount * 60 * 60 * 1000,
        "M" => amount * 60 * 1000,
        "S" => amount * 1000,
        "m" => amount,
        "u" => amount / 1000,
        "n" => amount / 1_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_counted_in_milliseconds() {
        let of = |value: &'static str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", value.parse().unwrap());
            timeout_ms(&metadata)
        };
        assert_eq!(of("2H"), Some(7_200_000));
        assert_eq!(of("3M"), Some(180_000));
        assert_eq!(of("4S"), Some(4000));
        assert_eq!(of("200m"), Some(200));
        assert_eq!(of("199500u"), Some(199));
        assert_eq!(of("2000000n"), Some(2));
        assert_eq!(of("5"), None);
        assert_eq!(of(""), None);
    }
}
