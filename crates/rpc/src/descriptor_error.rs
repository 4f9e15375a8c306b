//! What can be wrong with a descriptor set.

use std::error::Error;

/// An invalid descriptor set.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct DescriptorError {
    what: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl DescriptorError {
    /// The descriptor set does not decode.
    pub(super) fn decode(source: impl Error + Send + Sync + 'static) -> Self {
        Self { what: "a descriptor set does not decode", source: Box::new(source) }
    }

    /// Reflection cannot make sense of the descriptor set.
    pub(super) fn reflection(source: impl Error + Send + Sync + 'static) -> Self {
        Self { what: "reflection cannot serve a descriptor set", source: Box::new(source) }
    }
}
