//! A valve in a flow of items: while it is shut, the loop that passes it waits.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use leptos::prelude::*;

/// Shut and opened by whoever has a copy. Belongs to the component that creates it.
#[derive(Clone, Copy)]
pub(crate) struct Valve {
    /// What views follow.
    shut: RwSignal<bool>,
    seat: StoredValue<Rc<Seat>, LocalStorage>,
}

/// What a loop looks at, which costs it next to nothing.
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

    /// Whether it is shut; followed.
    pub(crate) fn is_shut(self) -> bool {
        self.shut.get()
    }

    /// Holds the loop up when it next passes.
    pub(crate) fn shut(self) {
        self.set(true);
    }

    /// Lets the loop go on.
    pub(crate) fn open(self) {
        self.set(false);
    }

    /// What the loop passes.
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
    /// Whether whoever passes must wait.
    pub(crate) fn is_shut(&self) -> bool {
        self.shut.get()
    }

    /// Resolves when it is open.
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
