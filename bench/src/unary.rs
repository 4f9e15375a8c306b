//! Many callers at once, each with one call after the other.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use crate::{client::Caller, contract::Call};

/// Makes `calls_each` calls with every one of `callers`, all at once; how long that took, and the
/// callers for the next time.
pub async fn run(
    callers: Vec<Caller>,
    call: &Call,
    calls_each: u32,
) -> Result<(Duration, Vec<Caller>)> {
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for mut caller in callers {
        let call = call.clone();
        tasks.spawn(async move {
            for _ in 0..calls_each {
                caller.call(&call).await?;
            }
            anyhow::Ok(caller)
        });
    }
    let mut callers = Vec::new();
    while let Some(caller) = tasks.join_next().await {
        callers.push(caller??);
    }
    Ok((started.elapsed(), callers))
}
