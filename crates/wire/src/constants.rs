//! What the gRPC specification fixes, and what every implementation agrees on.

/// How the content type of every flavour of gRPC begins.
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>
pub const CONTENT_TYPE_PREFIX: &[u8] = b"application/grpc";

/// The largest message that every gRPC client takes unless told otherwise, in bytes: 4 MiB.
pub const DEFAULT_MESSAGE_LIMIT_BYTES: usize = 4 * 1024 * 1024;
