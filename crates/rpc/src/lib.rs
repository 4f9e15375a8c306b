#![doc = include_str!("../README.md")]

pub mod access;
mod admission;
mod base64_body;
mod batch;
mod call_context;
mod calls;
mod chunk_pool;
#[doc(hidden)]
pub mod deadline;
mod descriptor_error;
#[doc(hidden)]
pub mod descriptors;
mod drain;
mod envelope;
mod filter;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod layers;
mod limits;
pub mod methods;
#[doc(hidden)]
pub mod normalize;
mod observe;
pub mod observer;
mod raw_body;
#[doc(hidden)]
pub mod refusal;
mod request_limits;
mod request_quota;
mod request_timeout;
mod response_limits;
mod response_quota;
mod services;
mod tally;
mod termination;
mod trace_parent;
mod trailers;

#[cfg(test)]
mod interleavings;

pub use self::{
    access::{Access, AccessSettings},
    call_context::CallContext,
    calls::Calls,
    chunk_pool::ChunkPool,
    descriptor_error::DescriptorError,
    drain::Drain,
    layers::Layers,
    limits::{Limits, ResponseLimits},
    normalize::{Format, Protocol},
    observer::Observer,
    raw_body::{Messages, RawBody},
    refusal::try_again_later,
    response_quota::Reserved,
    services::{Dispatch, Health, Services, service_name},
    tally::Tally,
    trace_parent::TraceParent,
    trailers::Trailers,
};
