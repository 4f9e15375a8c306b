//! One running call per panel: starting another cancels it, and so does leaving the panel.

use futures_util::future::{AbortHandle, abortable};
use leptos::prelude::*;
use leptos::task::spawn_local;

/// Holds one running future. Belongs to the component that creates it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    running: StoredValue<Option<AbortHandle>>,
}

impl Task {
    /// An empty task; its future is cancelled when the current component is cleaned up.
    pub(crate) fn new() -> Self {
        let task = Self { running: StoredValue::new(None) };
        on_cleanup(move || task.cancel());
        task
    }

    /// Runs `future` instead of the previous one, which is dropped.
    pub(crate) fn start(self, future: impl Future<Output = ()> + 'static) {
        let (future, handle) = abortable(future);
        self.put(Some(handle));
        spawn_local(async move {
            // A cancelled future needs no report: the caller has cancelled it.
            let _ = future.await;
        });
    }

    /// Drops the running future, if any, which cancels its request.
    pub(crate) fn cancel(self) {
        self.put(None);
    }

    fn put(self, next: Option<AbortHandle>) {
        let before = self.running.try_update_value(|running| std::mem::replace(running, next));
        if let Some(Some(handle)) = before {
            handle.abort();
        }
    }
}
