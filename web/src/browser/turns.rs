//! Yields to the browser: a busy loop stops for just as long as the browser needs to handle clicks and draw
//! frames. Neither a promise does this, because microtasks run before both, nor `setTimeout`, which waits
//! at least 4 ms. A message of the page to itself is an ordinary event.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{MessageChannel, MessagePort};

/// A channel from the page to itself.
pub(crate) struct Turns {
    near: MessagePort,
    far: MessagePort,
    state: Rc<State>,
    /// Called by the browser for as long as `far` is open.
    _on_message: Closure<dyn FnMut()>,
}

#[derive(Default)]
struct State {
    taken: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Turns {
    /// Opens the channel.
    pub(crate) fn new() -> Result<Self, JsValue> {
        let channel = MessageChannel::new()?;
        let state = Rc::new(State::default());
        let on_message = Closure::new({
            let state = Rc::clone(&state);
            move || {
                state.taken.set(true);
                if let Some(waker) = state.waker.borrow_mut().take() {
                    waker.wake();
                }
            }
        });
        let far = channel.port2();
        far.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        Ok(Self { near: channel.port1(), far, state, _on_message: on_message })
    }

    /// Resolves when the browser has had its turn.
    pub(crate) async fn next(&self) {
        self.state.taken.set(false);
        if self.near.post_message(&JsValue::NULL).is_err() {
            return;
        }
        poll_fn(|cx| {
            if self.state.taken.get() {
                return Poll::Ready(());
            }
            *self.state.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        self.far.set_onmessage(None);
        self.near.close();
        self.far.close();
    }
}
