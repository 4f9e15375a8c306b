//! A valve in a flow of items: while it is closed, the loop that passes it waits.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use leptos::prelude::*;

/// A valve that each copy can close and open. Belongs to the component that creates it.
#[derive(Clone, Copy)]
pub(crate) struct Valve {
    /// The state that views follow.
    shut: RwSignal<bool>,
    seat: StoredValue<Rc<Seat>, LocalStorage>,
}

/// The state that a loop checks, which is cheap.
#[derive(Default)]
pub(crate) struct Seat {
    shut: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Valve {
    /// An open valve.
    pub(crate) fn new() -> Self {
        Self { shut: RwSignal::new(false), seat: StoredValue::new_local(Rc::default()) }
    }

    /// Whether the valve is closed. Views that call this are updated.
    pub(crate) fn is_shut(self) -> bool {
        self.shut.get()
    }

    /// Closes the valve: the loop waits when it next passes.
    pub(crate) fn shut(self) {
        self.set(true);
    }

    /// Opens the valve: the loop goes on.
    pub(crate) fn open(self) {
        self.set(false);
    }

    /// The end of the valve for the loop.
    pub(crate) fn seat(self) -> Rc<Seat> {
        self.seat.get_value()
    }

    fn set(self, shut: bool) {
        self.shut.set(shut);
        self.seat.with_value(|seat| {
            seat.shut.set(shut);
            if let Some(waiting) = seat.waiting.take().filter(|_| !shut) {
                waiting.wake();
            }
        });
    }
}

impl Seat {
    /// Whether the loop must wait.
    pub(crate) fn is_shut(&self) -> bool {
        self.shut.get()
    }

    /// Resolves when the valve is open.
    pub(crate) async fn opened(&self) {
        poll_fn(|cx| {
            if !self.shut.get() {
                return Poll::Ready(());
            }
            self.waiting.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}
