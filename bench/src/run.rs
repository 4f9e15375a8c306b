//! The rounds. In each, every server has its turn, one directly after the other.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::{
    client::{Caller, Wire},
    contract::Call,
    memory::{self, STALLS, Stall},
    process::Server,
    report::{Row, Table},
    unary,
};

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Effort {
    /// The binary of Runnel's server.
    pub runnel: PathBuf,
    /// How often all is repeated.
    pub rounds: u32,
    /// How often the memory is, which differs little from time to time.
    pub memory_rounds: u32,
    /// Items of a stream.
    pub items: i32,
    /// Streams, one after the other, that make one measurement.
    pub streams: u32,
    /// Callers at once.
    pub callers: u32,
    /// Calls of each.
    pub calls_each: u32,
    /// Readers that stop reading.
    pub readers: u32,
}

/// The servers that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contender {
    Limit,
    Runnel,
    RunnelLogging,
    Tonic,
    TonicUnpausing,
}

impl Contender {
    fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Runnel => "runnel",
            Self::RunnelLogging => "runnel, logging each call",
            Self::Tonic => "tonic",
            Self::TonicUnpausing => "tonic, stream never pauses",
        }
    }

    fn start(self, effort: &Effort) -> Result<Server> {
        let mut command = match self {
            Self::Limit => this_binary(&["serve-limit", "--items", &effort.items.to_string()])?,
            Self::Tonic => this_binary(&["serve-tonic"])?,
            Self::TonicUnpausing => this_binary(&["serve-tonic", "--unpausing"])?,
            // Says where it listens and logs no calls; the default would log each.
            Self::Runnel => runnel(&effort.runnel, Some("warn,runnel=info,runnel::rpc=warn")),
            Self::RunnelLogging => runnel(&effort.runnel, None),
        };
        Server::start(&mut command)
    }
}

fn this_binary(args: &[&str]) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args(args);
    Ok(command)
}

pub(crate) fn runnel(binary: &Path, log_filter: Option<&str>) -> Command {
    let mut command = Command::new(binary);
    command.args(["--listen", "127.0.0.1:0", "--max-streams", "100000"]);
    command.args(["--max-streams-per-address", "100000"]);
    // In the environment, so that a build from before these options can be measured too.
    command.env("RUNNEL_MAX_CONNECTIONS_PER_ADDRESS", "100000");
    // Several servers run at once.
    command.env("RUNNEL_ADMIN_LISTEN", "127.0.0.1:0");
    match log_filter {
        Some(filter) => command.env("RUST_LOG", filter),
        None => command.env_remove("RUST_LOG"),
    };
    command
}

fn start(contenders: &[Contender], effort: &Effort) -> Result<Vec<(&'static str, Server)>> {
    let started =
        contenders.iter().map(|contender| Ok((contender.name(), contender.start(effort)?)));
    started.collect()
}

/// Server CPU time per million items of a stream.
async fn streams(effort: &Effort, wire: Wire) -> Result<Table> {
    let contenders =
        [Contender::Limit, Contender::Runnel, Contender::Tonic, Contender::TonicUnpausing];
    streams_of(start(&contenders, effort)?, effort, wire).await
}

/// CPU time of these servers per million items of a stream, and megabytes of items per second.
pub(crate) async fn streams_of(
    servers: Vec<(&'static str, Server)>,
    effort: &Effort,
    wire: Wire,
) -> Result<Table> {
    let call = Call::get_stream(effort.items);
    let mut turns = Vec::new();
    for (name, server) in servers {
        let mut caller = Caller::connect(server.address(), wire).await?;
        caller.call(&call).await.with_context(|| name.to_owned())?; // warm-up
        turns.push((server, caller, Row::new(name)));
    }
    let items = f64::from(effort.items) * f64::from(effort.streams);
    let megabytes = f64::from(u32::try_from(call.answer.len())?) * f64::from(effort.streams) / 1e6;
    for _ in 0..effort.rounds {
        for (server, caller, row) in &mut turns {
            let (before, started) = (server.cpu()?, Instant::now());
            for _ in 0..effort.streams {
                caller.call(&call).await?;
            }
            let (cpu, time) = (server.cpu_since(before)?, started.elapsed());
            row.rounds.push(vec![milliseconds(cpu) / items * 1e6, megabytes / time.as_secs_f64()]);
        }
    }
    Ok(Table {
        title: format!("getStream, {}: server CPU for a million items, throughput", wire.name()),
        measures: vec![("ms", 1), ("MB/s", 0)],
        rows: turns.into_iter().map(|(.., row)| row).collect(),
    })
}

/// Server CPU time per call, calls per second, and the time of the slowest.
async fn unary(effort: &Effort, name: &str, call: &Call, wire: Wire) -> Result<Table> {
    let contenders =
        [Contender::Limit, Contender::Runnel, Contender::RunnelLogging, Contender::Tonic];
    unary_of(start(&contenders, effort)?, effort, name, call, wire).await
}

/// The same of these servers.
pub(crate) async fn unary_of(
    servers: Vec<(&'static str, Server)>,
    effort: &Effort,
    name: &str,
    call: &Call,
    wire: Wire,
) -> Result<Table> {
    let mut turns = Vec::new();
    for (server_name, server) in servers {
        let callers = Caller::connect_many(server.address(), wire, effort.callers).await?;
        let warm_up = unary::run(callers, call, effort.calls_each.div_ceil(10)).await;
        let unary::Outcome { callers, .. } = warm_up.with_context(|| server_name.to_owned())?;
        turns.push((server, callers, Row::new(server_name)));
    }
    let calls = f64::from(effort.callers) * f64::from(effort.calls_each);
    for _ in 0..effort.rounds {
        for (server, callers, row) in &mut turns {
            let before = server.cpu()?;
            let ready = std::mem::take(callers);
            let outcome = unary::run(ready, call, effort.calls_each).await?;
            *callers = outcome.callers;
            let cpu = server.cpu_since(before)?;
            row.rounds.push(vec![
                milliseconds(cpu) * 1e3 / calls,
                calls / outcome.time.as_secs_f64(),
                milliseconds(outcome.p99),
            ]);
        }
    }
    Ok(Table {
        title: format!(
            "{name}, {}: server CPU for a call, calls per second, time of all but a hundredth",
            wire.name()
        ),
        measures: vec![("us", 1), ("calls/s", 0), ("p99 ms", 2)],
        rows: turns.into_iter().map(|(.., row)| row).collect(),
    })
}

/// How much a server grows for each reader that stops reading.
async fn memory(effort: &Effort, stall: Stall) -> Result<Table> {
    let contenders = [Contender::Runnel, Contender::Tonic, Contender::TonicUnpausing];
    memory_of(|| start(&contenders, effort), effort, stall, 0).await
}

/// The same of the servers that `start` gives; and how many of the `others` stand still, streams that
/// are begun beside the stopped ones, if there are any.
pub(crate) async fn memory_of(
    start: impl Fn() -> Result<Vec<(&'static str, Server)>>,
    effort: &Effort,
    stall: Stall,
    others: u32,
) -> Result<Table> {
    let mut rows: Vec<Row> = Vec::new();
    for _ in 0..effort.memory_rounds {
        // Fresh ones each time: a process seldom gives memory back.
        for (index, (name, server)) in start()?.into_iter().enumerate() {
            if rows.len() == index {
                rows.push(Row::new(name));
            }
            let mut caller = Caller::connect(server.address(), stall.wire()).await?;
            caller.call(&Call::get_all()).await?;
            let before = server.resident_bytes()?;
            let stalled = memory::stall(server.address(), None, stall, effort.readers).await?;
            memory::at_rest(&server).await?;
            let after = memory::settled(|| server.resident_bytes()).await?;
            let stuck = memory::stuck(server.address(), stall.wire(), others).await?;
            drop(stalled);
            let kib = u32::try_from(after.saturating_sub(before) / 1024)?;
            let mut round = vec![f64::from(kib) / f64::from(effort.readers)];
            if others > 0 {
                round.push(100.0 * f64::from(stuck) / f64::from(others));
            }
            rows[index].rounds.push(round);
        }
    }
    let mut title = format!(
        "{} readers of an endless stream stop, {}: server memory for each",
        effort.readers,
        stall.name()
    );
    let mut measures = vec![("KiB", 0)];
    if others > 0 {
        title.push_str(", and how many in a hundred others get stuck with them");
        measures.push(("stuck", 0));
    }
    Ok(Table { title, measures, rows })
}

/// Everything, each table as soon as it is there.
pub async fn all(effort: &Effort, mut show: impl FnMut(&Table) -> Result<()>) -> Result<()> {
    for wire in [Wire::WebHttp1, Wire::WebHttp2] {
        show(&streams(effort, wire).await?)?;
    }
    for (name, call) in [("getAll(10)", Call::get_all()), ("sayHello", Call::say_hello())] {
        for wire in [Wire::WebHttp1, Wire::Grpc] {
            show(&unary(effort, name, &call, wire).await?)?;
        }
    }
    for stall in STALLS {
        show(&memory(effort, stall).await?)?;
    }
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
