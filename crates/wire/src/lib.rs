#![doc = include_str!("../README.md")]

mod code_name;

pub use code_name::code_name;
