//! The contract of `service.proto`: its messages, its client and its server.

tonic::include_proto!("my_product.v1");

/// What gRPC reflection tells of it.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
