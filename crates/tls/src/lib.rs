#![doc = include_str!("../README.md")]

pub mod certificates;
mod hangups;
pub mod trust;
pub mod words;

pub use self::certificates::{Files, Renewal, TlsError};
