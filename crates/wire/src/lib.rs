#![doc = include_str!("../README.md")]

mod code_name;
mod constants;
mod path;

pub use code_name::code_name;
pub use constants::{CONTENT_TYPE_PREFIX, DEFAULT_MESSAGE_LIMIT_BYTES};
pub use path::shortened_path;
