//! [`BrowserNetwork`]: what the browser says about the network, for a client that waits to try again.

use std::rc::Rc;

use js_sys::{Function, Reflect};
use tokio::sync::watch;
use wasm_bindgen::{JsCast as _, closure::Closure};
use web_sys::{Event, EventTarget};

/// The events after which it is worth trying again. The timers of a hidden tab are slow, so a tab that
/// becomes visible does not wait for them.
const EVENTS: [&str; 3] = ["online", "offline", VISIBILITY];
const VISIBILITY: &str = "visibilitychange";

/// Follows the browser's `online` and `offline` events, until the last clone is dropped. Clones share the
/// same state. Pass [`Self::watch`] to [`Calls::with_network`](crate::Calls::with_network).
#[derive(Debug, Clone)]
pub struct BrowserNetwork {
    following: Rc<Following>,
}

#[derive(Debug)]
struct Following {
    online: Rc<watch::Sender<bool>>,
    listener: Closure<dyn FnMut(Event)>,
}

impl BrowserNetwork {
    /// Begins to follow the events, in a page or in a worker.
    #[must_use]
    pub fn follow() -> Self {
        let online = Rc::new(watch::Sender::new(is_online()));
        let listener = Closure::<dyn FnMut(Event)>::new({
            let online = Rc::clone(&online);
            move |event: Event| {
                if event.type_() != VISIBILITY || !is_hidden() {
                    online.send_replace(is_online());
                }
            }
        });
        let following = Following { online, listener };
        for name in EVENTS {
            // It fails for no name of an event.
            let _ = global().add_event_listener_with_callback(name, following.callback());
        }
        Self { following: Rc::new(following) }
    }

    /// The channel for [`Calls::with_network`](crate::Calls::with_network).
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.following.online.subscribe()
    }

    /// Lets all waiting calls try now, even if the browser reports that it is offline: for a button that a
    /// person presses.
    pub fn try_now(&self) {
        self.following.online.send_replace(true);
    }
}

impl Following {
    fn callback(&self) -> &Function {
        self.listener.as_ref().unchecked_ref()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        for name in EVENTS {
            let _ = global().remove_event_listener_with_callback(name, self.callback());
        }
    }
}

/// The window of a page, or the global object of a worker.
fn global() -> EventTarget {
    js_sys::global().unchecked_into()
}

fn is_online() -> bool {
    let navigator = Reflect::get(&js_sys::global(), &"navigator".into()).unwrap_or_default();
    // Where nothing is known, everything is tried.
    Reflect::get(&navigator, &"onLine".into()).ok().and_then(|online| online.as_bool())
        != Some(false)
}

/// Whether this is a hidden page.
pub(crate) fn is_hidden() -> bool {
    web_sys::window().and_then(|window| window.document()).is_some_and(|document| document.hidden())
}
