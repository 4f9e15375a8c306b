#![doc = include_str!("../README.md")]

mod code_name;
mod constants;
mod http_status;
mod path;
mod prefix;
mod varint;

pub use code_name::code_name;
pub use constants::{CONTENT_TYPE_PREFIX, DEFAULT_MESSAGE_LIMIT_BYTES};
pub use http_status::code_of_http_status;
pub use path::shortened_path;
pub use prefix::{COMPRESSED_FLAG, PREFIX_BYTES, Prefix, TRAILERS_FLAG};
pub use varint::varint_bytes;
