//! [`BrowserNetwork`]: what the browser knows of the network, for a client that waits for a better moment.

use std::rc::Rc;

use js_sys::{Function, Reflect};
use tokio::sync::watch;
use wasm_bindgen::{JsCast as _, closure::Closure};
use web_sys::{Event, EventTarget};

/// The events after which it is worth trying. The timers of a hidden tab are slow, so a tab that is looked
/// at again need not wait for them.
const EVENTS: [&str; 3] = ["online", "offline", VISIBILITY];
const VISIBILITY: &str = "visibilitychange";

/// Follows the browser's `online` and `offline` events, until the last clone is dropped. A clone is the
/// same network. [`Calls::with_network`](crate::Calls::with_network) takes what [`Self::watch`] gives.
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
    /// Begins to follow, in a page or in a worker.
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

    /// What calls listen to.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.following.online.subscribe()
    }

    /// Says that now is the moment to try, whatever the browser thinks: a person knows better.
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

/// Whether this is a page that is not looked at.
pub(crate) fn is_hidden() -> bool {
    web_sys::window().and_then(|window| window.document()).is_some_and(|document| document.hidden())
}
