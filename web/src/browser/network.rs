//! What the browser knows of the network, for a client that waits for a better moment.

use std::rc::Rc;

use leptos::ev;
use leptos::prelude::*;
use tokio::sync::watch;

/// Follows the browser's `online` and `offline` events. A clone is the same network.
#[derive(Clone)]
pub(crate) struct Network {
    online: Rc<watch::Sender<bool>>,
}

impl Network {
    /// Followed until the current component is cleaned up.
    pub(crate) fn follow() -> Self {
        let network = Self { online: Rc::new(watch::Sender::new(is_online())) };
        let tell = {
            let network = network.clone();
            move || {
                network.online.send_replace(is_online());
            }
        };
        let events = [
            window_event_listener(ev::online, {
                let tell = tell.clone();
                move |_| tell()
            }),
            window_event_listener(ev::offline, {
                let tell = tell.clone();
                move |_| tell()
            }),
            // The timers of a hidden tab are slow; whoever comes back need not wait for them.
            window_event_listener(ev::visibilitychange, move |_| {
                if !document().hidden() {
                    tell();
                }
            }),
        ];
        on_cleanup(move || events.into_iter().for_each(WindowListenerHandle::remove));
        network
    }

    /// What the client listens to.
    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.online.subscribe()
    }

    /// Says that now is the moment to try, whatever the browser thinks: a person knows better.
    pub(crate) fn try_now(&self) {
        self.online.send_replace(true);
    }
}

fn is_online() -> bool {
    window().navigator().on_line()
}
