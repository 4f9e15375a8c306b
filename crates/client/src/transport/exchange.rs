//! [`Exchange`]: how one call ended. The layer below the library tells it to the layer above, because the
//! library passes messages on but loses the rest.

use std::sync::{Arc, Mutex, PoisonError};

use super::{answer::Ending, error::TransportError};

/// How one call ended. It travels down in the request's extensions.
#[derive(Debug, Clone, Default)]
pub struct Exchange {
    /// `Send`, because the body of a response must be.
    ending: Arc<Mutex<Option<Result<Ending, TransportError>>>>,
}

impl Exchange {
    /// Stores how the call ended, before the library sees the end.
    pub fn settle(&self, ending: Result<Ending, TransportError>) {
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(ending);
    }

    /// How the call ended, if that is known.
    pub fn take(&self) -> Option<Result<Ending, TransportError>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
