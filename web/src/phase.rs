//! Where a panel's call stands.

use runnel_client::CallError;

/// Where a panel's call stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Phase {
    /// No call yet.
    Idle,
    /// The call was sent; no response yet.
    Loading,
    /// The whole response has arrived.
    Ready,
    /// The response has begun and goes on.
    Streaming,
    /// The stream broke, and is resumed.
    Resuming {
        /// When, in milliseconds of the page's clock.
        at_ms: f64,
    },
    /// The stream broke, and is resumed when there is a network.
    Offline,
    /// The person has paused the stream.
    Paused,
    /// The person stopped the stream.
    Stopped,
    /// The page stopped the stream: it holds all the rows it can.
    Full,
    /// The stream came to its end.
    Finished,
    /// The call failed, before its response or during it.
    Failed(CallError),
}

impl Phase {
    /// The value of `data-state`, which styles and tests select by.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Streaming => "streaming",
            Self::Resuming { .. } => "resuming",
            Self::Offline => "offline",
            Self::Paused => "paused",
            Self::Stopped | Self::Full => "stopped",
            Self::Finished => "finished",
            Self::Failed(_) => "error",
        }
    }

    /// The word shown to people.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Idle => "Ready",
            Self::Loading => "Connecting",
            Self::Ready => "Done",
            Self::Streaming => "Live",
            Self::Resuming { .. } => "Resuming",
            Self::Offline => "Offline: resumes with the network",
            Self::Paused => "Paused",
            Self::Stopped => "Stopped",
            Self::Full => "Stopped: full",
            Self::Finished => "Finished",
            Self::Failed(_) => "Failed",
        }
    }

    /// Whether a call is under way.
    pub(crate) fn is_running(&self) -> bool {
        match self {
            Self::Loading
            | Self::Streaming
            | Self::Resuming { .. }
            | Self::Offline
            | Self::Paused => true,
            Self::Idle
            | Self::Ready
            | Self::Stopped
            | Self::Full
            | Self::Finished
            | Self::Failed(_) => false,
        }
    }

    /// The error, if the call failed.
    pub(crate) fn error(&self) -> Option<CallError> {
        match self {
            Self::Failed(error) => Some(error.clone()),
            _ => None,
        }
    }
}
