//! Package `connectrpc.conformance.v1`: the suite's messages and its service, generated from the
//! suite's own files.

#![expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    reason = "generated, and by no rules of ours"
)]

tonic::include_proto!("connectrpc.conformance.v1");

/// The encoded `google.protobuf.FileDescriptorSet` of the above.
pub const DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/conformance_descriptor.bin"));
