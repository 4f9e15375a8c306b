//! Many callers at once, each with one call after the other.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use crate::{client::Caller, contract::Call};

/// How many calls went.
#[derive(Debug)]
pub struct Outcome {
    /// How long all of them took.
    pub time: Duration,
    /// How long a call took, but for the slowest hundredth.
    pub p99: Duration,
    /// The callers, for the next time.
    pub callers: Vec<Caller>,
}

/// Makes `calls_each` calls with every one of `callers`, all at once.
pub async fn run(callers: Vec<Caller>, call: &Call, calls_each: u32) -> Result<Outcome> {
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for mut caller in callers {
        let call = call.clone();
        tasks.spawn(async move {
            let mut times = Vec::new();
            for _ in 0..calls_each {
                let began = Instant::now();
                caller.call(&call).await?;
                times.push(began.elapsed());
            }
            anyhow::Ok((caller, times))
        });
    }
    let (mut callers, mut times) = (Vec::new(), Vec::new());
    while let Some(done) = tasks.join_next().await {
        let (caller, its_times) = done??;
        callers.push(caller);
        times.extend(its_times);
    }
    let time = started.elapsed();
    times.sort_unstable();
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    Ok(Outcome { time, p99, callers })
}
