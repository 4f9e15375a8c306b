//! A run of the stream, from start to end: the actions of the person, and the resulting state, which the
//! panel shows.

use std::pin::pin;

use futures_util::future::{Either, select};
use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use runnel_client::transport::FetchTransport;
use runnel_client::{CallError, Connection};
use runnel_web::api::ItemStream;

use crate::browser::clock::{Budget, now_ms};
use crate::browser::task::Task;
use crate::browser::transport::Api;
use crate::browser::turns::Turns;
use crate::browser::valve::Valve;
use crate::feed::{Feed, Sink};
use crate::phase::Phase;
use runnel_client::BrowserNetwork;

/// Rows the page keeps, which take some 180 MB. A longer stream is stopped there.
pub(crate) const MAX_ROWS: usize = 10_000_000;

/// How long a paused run keeps its call, so that it can go on at no cost. After that it ends the call, and
/// requests the rest when it goes on. Over HTTP/1.1 a browser has six connections to a server for all of
/// its tabs, and over HTTP/2 one flow-control window: pauses must not use them up.
const HELD_MS: u32 = 10_000;

/// Holds one run after another. Belongs to the component that creates it.
#[derive(Clone, Copy)]
pub(crate) struct StreamRun {
    /// The rows.
    pub(crate) feed: Feed,
    /// Items asked for.
    pub(crate) wanted: RwSignal<i32>,
    /// How often the run broke and was resumed.
    pub(crate) resumed: RwSignal<u32>,
    /// The phase of the run, except for a pause, which the call does not know.
    call: RwSignal<Phase>,
    /// Closed while the run is paused.
    reading: Valve,
    /// Closed while the run is given up, until the person tries again.
    trying: Valve,
    task: Task,
    api: StoredValue<Api, LocalStorage>,
    network: StoredValue<BrowserNetwork, LocalStorage>,
}

impl StreamRun {
    /// No run yet.
    pub(crate) fn new(api: Api, network: BrowserNetwork) -> Self {
        Self {
            feed: Feed::new(),
            wanted: RwSignal::new(0),
            resumed: RwSignal::new(0),
            call: RwSignal::new(Phase::Idle),
            reading: Valve::new(),
            trying: Valve::new(),
            task: Task::new(),
            api: StoredValue::new_local(api),
            network: StoredValue::new_local(network),
        }
    }

    /// The phase of the run.
    pub(crate) fn phase(self) -> Memo<Phase> {
        Memo::new(move |_| {
            let call = self.call.get();
            if call.is_running() && self.reading.is_shut() { Phase::Paused } else { call }
        })
    }

    /// Starts a new run of `length` items.
    pub(crate) fn start(self, length: i32) {
        self.reading.open();
        self.trying.open();
        self.wanted.set(length);
        self.resumed.set(0);
        self.call.set(Phase::Loading);
        let sink = self.feed.begin();
        let items = self.api.with_value(|api| api.stream(length));
        let items = items.watched_by(move |connection| self.follow(connection));
        self.task.start(async move {
            let end = self.run(items, &sink, length).await;
            self.feed.end();
            self.call.set(end.unwrap_or_else(Phase::Failed));
        });
    }

    /// Ends the run; its rows stay.
    pub(crate) fn stop(self) {
        self.task.cancel();
        self.feed.end();
        self.call.set(Phase::Stopped);
    }

    /// Stops reading, so that flow control stops the server; after [`HELD_MS`] the call ends.
    pub(crate) fn pause(self) {
        self.reading.shut();
        self.feed.hold();
    }

    /// Reads on after a pause.
    pub(crate) fn go_on(self) {
        self.feed.go_on();
        self.reading.open();
    }

    /// Resumes at once.
    pub(crate) fn try_now(self) {
        self.network.with_value(BrowserNetwork::try_now);
    }

    /// Tries again after the run was given up; its rows stay. Returns whether there is such a run.
    pub(crate) fn try_again(self) -> bool {
        let given_up = self.trying.is_shut();
        if given_up {
            self.call.set(Phase::Resuming { at_ms: now_ms() });
            self.go_on();
            self.trying.open();
        }
        given_up
    }

    fn follow(self, connection: Connection) {
        // Where an answer broke, the count that is shown beside the word is exact.
        self.feed.publish();
        match connection {
            // The first time it is not resumed.
            Connection::Connecting if self.call.get_untracked() == Phase::Loading => {}
            Connection::Connecting => self.call.set(Phase::Resuming { at_ms: now_ms() }),
            Connection::Live { resumed } => {
                self.resumed.set(resumed);
                self.call.set(Phase::Streaming);
            }
            Connection::Resuming { delay } => {
                let at_ms = now_ms() + delay.as_secs_f64() * 1e3;
                self.call.set(Phase::Resuming { at_ms });
            }
            Connection::Offline => self.call.set(Phase::Offline),
            // Of news that it does not know, a page has nothing to show.
            _ => {}
        }
    }

    /// Receives to the end, however often the person has to try again.
    async fn run(
        self,
        mut items: ItemStream<FetchTransport>,
        sink: &Sink,
        length: i32,
    ) -> Result<Phase, CallError> {
        loop {
            match self.receive(&mut items, sink, length).await {
                Err(error) if error.keeps_its_place() => {
                    let trying = self.trying.seat();
                    self.trying.shut();
                    self.feed.hold();
                    self.call.set(Phase::Failed(error));
                    trying.opened().await;
                }
                end => return end,
            }
        }
    }

    /// Receives rows into `sink`, and returns the phase in which the stream ends. Dropping the future
    /// cancels the call.
    async fn receive(
        self,
        items: &mut ItemStream<FetchTransport>,
        sink: &Sink,
        length: i32,
    ) -> Result<Phase, CallError> {
        let turns = Turns::new().ok();
        let reading = self.reading.seat();
        let mut budget = Budget::new();
        while let Some(item) = items.next().await {
            let item = item?;
            sink.push(item.id, &item.name)?;
            if sink.len() >= MAX_ROWS && usize::try_from(length).is_ok_and(|n| n > MAX_ROWS) {
                return Ok(Phase::Full);
            }
            if budget.spend() {
                if let Some(turns) = &turns {
                    turns.next().await;
                }
                budget.renew();
            }
            if reading.is_shut() {
                let opened = pin!(reading.opened());
                if let Either::Right(_) = select(opened, TimeoutFuture::new(HELD_MS)).await {
                    items.let_go();
                    reading.opened().await;
                }
                budget.renew();
            }
        }
        Ok(Phase::Finished)
    }
}
