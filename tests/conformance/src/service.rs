//! The suite's service. Each call carries the answer it wants; what is tested is how that answer
//! travels. So every method comes down to one of two rooms: [`single`] for one message back,
//! [`stream`] for any number. In both the answer echoes the [`call`], to show what arrived.

mod call;
mod single;
mod stream;

use tonic::{Request, Response, Status, Streaming, codegen::BoxStream};

use self::call::Call;
use crate::proto::{
    BidiStreamRequest, BidiStreamResponse, ClientStreamRequest, ClientStreamResponse,
    IdempotentUnaryRequest, IdempotentUnaryResponse, ServerStreamRequest, ServerStreamResponse,
    UnaryRequest, UnaryResponse, conformance_service_server::ConformanceService,
};

/// Answers as it is told. `Unimplemented` is left to the framework, as the suite wants it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service;

#[tonic::async_trait]
impl ConformanceService for Service {
    async fn unary(
        &self,
        request: Request<UnaryRequest>,
    ) -> Result<Response<UnaryResponse>, Status> {
        let call = Call::with_one(&request)?;
        let definition = request.into_inner().response_definition;
        let wrap = |payload| UnaryResponse { payload: Some(payload) };
        Ok(single::answer(&call, definition).await?.map(wrap))
    }

    async fn idempotent_unary(
        &self,
        request: Request<IdempotentUnaryRequest>,
    ) -> Result<Response<IdempotentUnaryResponse>, Status> {
        let call = Call::with_one(&request)?;
        let definition = request.into_inner().response_definition;
        let wrap = |payload| IdempotentUnaryResponse { payload: Some(payload) };
        Ok(single::answer(&call, definition).await?.map(wrap))
    }

    async fn client_stream(
        &self,
        request: Request<Streaming<ClientStreamRequest>>,
    ) -> Result<Response<ClientStreamResponse>, Status> {
        let mut call = Call::without_messages(&request);
        let mut messages = request.into_inner();
        let first = messages.message().await?;
        if let Some(first) = &first {
            call.received(first)?;
        }
        while let Some(message) = messages.message().await? {
            call.received(&message)?;
        }
        let definition = first.and_then(|first| first.response_definition);
        let wrap = |payload| ClientStreamResponse { payload: Some(payload) };
        Ok(single::answer(&call, definition).await?.map(wrap))
    }

    async fn server_stream(
        &self,
        request: Request<ServerStreamRequest>,
    ) -> Result<Response<BoxStream<ServerStreamResponse>>, Status> {
        let call = Call::with_one(&request)?;
        let definition = request.into_inner().response_definition.unwrap_or_default();
        let wrap = |payload| ServerStreamResponse { payload: Some(payload) };
        stream::answer(call, definition, None, wrap)
    }

    async fn bidi_stream(
        &self,
        request: Request<Streaming<BidiStreamRequest>>,
    ) -> Result<Response<BoxStream<BidiStreamResponse>>, Status> {
        let mut call = Call::without_messages(&request);
        let mut messages = request.into_inner();
        let first = messages.message().await?;
        if let Some(first) = &first {
            call.received(first)?;
        }
        let first = first.unwrap_or_default();
        // Half duplex: nothing is sent, not even headers, before everything has come. On HTTP/1.1 a
        // client may stop sending when the answer begins.
        let interleaved = if first.full_duplex {
            Some(messages)
        } else {
            while let Some(message) = messages.message().await? {
                call.received(&message)?;
            }
            None
        };
        let definition = first.response_definition.unwrap_or_default();
        let wrap = |payload| BidiStreamResponse { payload: Some(payload) };
        stream::answer(call, definition, interleaved, wrap)
    }
}
