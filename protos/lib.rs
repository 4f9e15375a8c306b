//! The contract: the messages of [`api.proto`], its client (feature `client`) and its server trait
//! (feature `server`), generated at build time. Nothing here knows a transport, so it compiles for the
//! browser as it does for a server.
//!
//! [`api.proto`]: https://protobuf.dev/programming-guides/proto3/

/// Package `api`.
#[allow(non_camel_case_types, reason = "rpc getStream names its stream getStreamStream")]
pub mod api {
    tonic::include_proto!("api");
}

/// The encoded `google.protobuf.FileDescriptorSet` of the contract, for gRPC reflection.
#[cfg(feature = "server")]
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/api_descriptor.bin"));
