//! [`Exchange`]: how one call ended, told by what is beneath the library to what is above it. The
//! library between them passes messages on, and would lose the rest.

use std::sync::{Arc, Mutex, PoisonError};

use super::{answer::Ending, error::TransportError};

/// The place of one call's ending. It travels beneath in the request's extensions.
#[derive(Debug, Clone, Default)]
pub struct Exchange {
    /// Send, because a response's body has to be.
    ending: Arc<Mutex<Option<Result<Ending, TransportError>>>>,
}

impl Exchange {
    /// The call ended so. Told before the library can see that it ended at all.
    pub fn settle(&self, ending: Result<Ending, TransportError>) {
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(ending);
    }

    /// How it ended, if anybody told.
    pub fn take(&self) -> Option<Result<Ending, TransportError>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
