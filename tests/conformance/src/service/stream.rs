//! The answer of a method that answers with any number of messages.

use std::{time::Duration, vec};

use futures_util::stream;
use tokio::time::sleep;
use tonic::{Code, Response, Status, Streaming, codegen::BoxStream, metadata::MetadataMap};

use super::call::Call;
use crate::{
    headers,
    proto::{
        BidiStreamRequest, ConformancePayload, Error, StreamResponseDefinition,
        conformance_payload::RequestInfo,
    },
};

/// What `definition` says, each message as `wrap` makes it. With `interleaved` messages still to
/// come, one of them is awaited before each message sent but the first.
pub(super) fn answer<T: Send + 'static>(
    call: Call,
    definition: StreamResponseDefinition,
    interleaved: Option<Streaming<BidiStreamRequest>>,
    wrap: impl Fn(ConformancePayload) -> T + Send + 'static,
) -> Result<Response<BoxStream<T>>, Status> {
    let sent_headers = headers::to_send(&definition.response_headers)?;
    let trailers = headers::to_send(&definition.response_trailers)?;
    let script = Script {
        call,
        interleaved,
        delay: Duration::from_millis(definition.response_delay_ms.into()),
        data: definition.response_data.into_iter(),
        sent: 0,
        end: Some((definition.error, MetadataMap::from_headers(trailers))),
    };
    let messages = stream::unfold((script, wrap), async |(mut script, wrap)| {
        let next = script.next().await?;
        Some((next.map(&wrap), (script, wrap)))
    });
    let mut response = Response::new(Box::pin(messages) as BoxStream<T>);
    *response.metadata_mut() = MetadataMap::from_headers(sent_headers);
    Ok(response)
}

/// An answer, as far as it has not been sent.
struct Script {
    call: Call,
    /// None if the answer does not wait for messages, or no longer, because they have ended.
    interleaved: Option<Streaming<BidiStreamRequest>>,
    delay: Duration,
    data: vec::IntoIter<Vec<u8>>,
    /// How many messages have been sent.
    sent: usize,
    /// None once it has been sent.
    end: Option<(Option<Error>, MetadataMap)>,
}

impl Script {
    /// The next message, or the status that ends the answer; None if that is OK and has no trailers.
    async fn next(&mut self) -> Option<Result<ConformancePayload, Status>> {
        self.end.as_ref()?;
        if let Err(status) = self.listen().await {
            self.end = None;
            return Some(Err(status));
        }
        let Some(data) = self.data.next() else {
            let (error, trailers) = self.end.take()?;
            return self.status(error, trailers).map(Err);
        };
        sleep(self.delay).await;
        let request_info = self.echo();
        self.sent += 1;
        Some(Ok(ConformancePayload { data, request_info }))
    }

    /// Waits for the message that the next one answers. The first has come already.
    async fn listen(&mut self) -> Result<(), Status> {
        if self.sent > 0
            && let Some(messages) = &mut self.interleaved
        {
            match messages.message().await? {
                Some(message) => self.call.received(&message)?,
                None => self.interleaved = None,
            }
        }
        Ok(())
    }

    /// What the next message echoes: the first everything, further ones what has come since.
    fn echo(&mut self) -> Option<RequestInfo> {
        if self.sent == 0 {
            let info = self.call.info();
            self.call.take_messages();
            return Some(info);
        }
        self.interleaved.as_ref()?;
        Some(RequestInfo { requests: self.call.take_messages(), ..RequestInfo::default() })
    }

    fn status(&self, error: Option<Error>, trailers: MetadataMap) -> Option<Status> {
        match error {
            Some(error) => {
                let status = self.call.status(error, self.sent == 0, trailers);
                Some(status.unwrap_or_else(|status| status))
            }
            // The one way to send trailers with OK that tonic has.
            None if !trailers.is_empty() => Some(Status::with_metadata(Code::Ok, "", trailers)),
            None => None,
        }
    }
}
