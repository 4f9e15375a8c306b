//! Rows on their way to the screen. They are kept outside the reactive graph, which is told about them at
//! most once a frame.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use leptos::leptos_dom::helpers::IntervalHandle;
use leptos::prelude::*;
use runnel_web::rows::{Full, Rows};

use crate::browser::clock::now_ms;

/// How often the clock is updated while no rows come, or while a hidden tab draws no frames.
const TICK: Duration = Duration::from_millis(250);

/// The state of a run: a snapshot that is at most a frame old.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Progress {
    /// The number of the run, so that views can tell the rows of one run from those of the next.
    pub(crate) run: u32,
    /// Rows received.
    pub(crate) count: usize,
    /// Milliseconds from the beginning of the run to now or to its end, without the time in which its clock
    /// was stopped.
    pub(crate) elapsed_ms: f64,
    /// Milliseconds from the beginning to the first row.
    pub(crate) first_ms: Option<f64>,
}

/// A store of rows that views read and a call fills. Belongs to the component that creates it.
#[derive(Clone, Copy)]
pub(crate) struct Feed {
    /// The state that views follow.
    pub(crate) progress: RwSignal<Progress>,
    store: StoredValue<Rc<Store>, LocalStorage>,
}

/// The filling end of a [`Feed`], good for one run.
pub(crate) struct Sink {
    feed: Feed,
    store: Rc<Store>,
}

#[derive(Default)]
struct Store {
    rows: RefCell<Rows>,
    began_ms: Cell<f64>,
    first_ms: Cell<Option<f64>>,
    /// When its clock was stopped.
    held_ms: Cell<Option<f64>>,
    /// Whether a frame was requested that will publish the state.
    frame_pending: Cell<bool>,
    ticking: Cell<Option<IntervalHandle>>,
}

impl Feed {
    /// An empty feed.
    pub(crate) fn new() -> Self {
        let feed =
            Self { progress: RwSignal::default(), store: StoredValue::new_local(Rc::default()) };
        on_cleanup(move || feed.end());
        feed
    }

    /// Empties the feed, starts the clock of a new run, and returns the end that fills the feed.
    pub(crate) fn begin(self) -> Sink {
        self.end();
        let store = self.store.get_value();
        store.rows.replace(Rows::new());
        store.began_ms.set(now_ms());
        store.first_ms.set(None);
        store.held_ms.set(None);
        self.tick();
        self.progress.update(|progress| {
            *progress = Progress { run: progress.run.wrapping_add(1), ..Progress::default() };
        });
        Sink { feed: self, store }
    }

    /// Stops the clock, and publishes the final state of the run. Does nothing between runs.
    pub(crate) fn end(self) {
        let ticking = self.store.try_with_value(|store| {
            store.frame_pending.set(false);
            store.ticking.take()
        });
        if let Some(Some(ticking)) = ticking {
            ticking.clear();
            self.publish();
        }
    }

    /// Stops the clock during a pause. Rows may still come.
    pub(crate) fn hold(self) {
        self.end();
        self.store.with_value(|store| {
            if store.held_ms.get().is_none() {
                store.held_ms.set(Some(now_ms()));
            }
        });
    }

    /// Restarts the clock after a pause.
    pub(crate) fn go_on(self) {
        let held_ms = self.store.with_value(|store| store.held_ms.take());
        if let Some(held_ms) = held_ms {
            self.store.with_value(|store| {
                store.began_ms.update(|began_ms| began_ms + now_ms() - held_ms);
            });
            self.tick();
        }
    }

    fn tick(self) {
        let ticking = set_interval_with_handle(move || self.publish(), TICK).ok();
        self.store.with_value(|store| store.ticking.set(ticking));
    }

    /// The id and name of the row at `index`.
    pub(crate) fn row(self, index: usize) -> Option<(i32, String)> {
        self.store.with_value(|store| {
            let rows = store.rows.borrow();
            rows.get(index).map(|(id, name)| (id, name.to_owned()))
        })
    }

    /// Publishes the state of the run at once, without waiting for the next frame.
    pub(crate) fn publish(self) {
        let snapshot = self.store.try_with_value(|store| {
            let elapsed_ms = store.held_ms.get().unwrap_or_else(now_ms) - store.began_ms.get();
            (store.rows.borrow().len(), elapsed_ms, store.first_ms.get())
        });
        if let Some((count, elapsed_ms, first_ms)) = snapshot {
            self.progress.try_update(|progress| {
                *progress = Progress { count, elapsed_ms, first_ms, run: progress.run };
            });
        }
    }

    fn on_frame(self) {
        // The run may have ended, or the feed gone, before its frame came.
        let pending = self.store.try_with_value(|store| store.frame_pending.replace(false));
        if pending == Some(true) {
            self.publish();
        }
    }
}

impl Sink {
    /// Appends a row, which is shown in the next frame.
    pub(crate) fn push(&self, id: i32, name: &str) -> Result<(), Full> {
        self.store.rows.borrow_mut().push(id, name)?;
        if self.store.first_ms.get().is_none() {
            self.store.first_ms.set(Some(now_ms() - self.store.began_ms.get()));
        }
        if !self.store.frame_pending.replace(true) {
            let feed = self.feed;
            request_animation_frame(move || feed.on_frame());
        }
        Ok(())
    }

    /// Rows received so far, including those that are not published yet.
    pub(crate) fn len(&self) -> usize {
        self.store.rows.borrow().len()
    }
}
