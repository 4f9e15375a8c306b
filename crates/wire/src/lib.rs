#![doc = include_str!("../README.md")]

mod code_name;
mod http_status;
mod prefix;
mod varint;

pub use code_name::code_name;
pub use http_status::code_of_http_status;
pub use prefix::{COMPRESSED_FLAG, PREFIX_BYTES, Prefix, TRAILERS_FLAG};
pub use varint::varint_bytes;
