//! Runnel and Envoy in front of the same backend, which is Runnel too: it answers faster than either
//! forwards. Without `envoy`, the backend itself is what Runnel is beside.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    client::{Caller, Wire},
    contract::Call,
    envoy::{self, Windows},
    memory,
    process::Server,
    report::{Row, Table},
    run::{self, Effort},
};

/// Streams that are tried beside those that stopped.
const OTHERS: u32 = 20;

/// What is compared.
#[derive(Clone, Debug)]
pub struct Fronts {
    /// Envoy's binary.
    pub envoy: PathBuf,
    /// Worker threads of either.
    pub threads: usize,
}

/// The tables; ratios are to Envoy.
pub async fn all(
    fronts: &Fronts,
    effort: &Effort,
    mut show: impl FnMut(&Table) -> Result<()>,
) -> Result<()> {
    let backend = Server::start(&mut run::runnel(&effort.runnel, Some("error,runnel=info")))?;
    let runnel = || {
        let mut runnel = run::runnel(&effort.runnel, Some("warn,runnel=info,runnel::rpc=warn"));
        with_backend(&mut runnel, &backend, fronts.threads);
        anyhow::Ok(("Runnel", Server::start(&mut runnel)?))
    };
    let envoy = |name, windows| {
        let address = backend.address();
        anyhow::Ok((name, envoy::start(&fronts.envoy, fronts.threads, windows, address)?))
    };
    let two = || anyhow::Ok(vec![envoy("Envoy", Windows::Envoys)?, runnel()?]);
    let three = || {
        let third = envoy("Envoy, Runnel's windows", Windows::Runnels)?;
        anyhow::Ok(vec![envoy("Envoy", Windows::Envoys)?, third, runnel()?])
    };
    show(&idle(&two()?).await?)?;
    for (name, call) in [("getAll(10)", Call::get_all()), ("sayHello", Call::say_hello())] {
        for wire in [Wire::WebHttp1, Wire::WebText, Wire::Grpc] {
            show(&run::unary_of(two()?, effort, name, &call, wire).await?)?;
        }
    }
    for wire in [Wire::WebHttp1, Wire::WebText, Wire::Grpc] {
        show(&run::streams_of(three()?, effort, wire).await?)?;
    }
    show(&run::memory_of(three, effort, memory::Stall::Http1, OTHERS).await?)
}

fn with_backend(runnel: &mut Command, backend: &Server, threads: usize) {
    runnel.args(["--backend", &format!("http://{}", backend.address())]);
    runnel.env("TOKIO_WORKER_THREADS", threads.to_string());
}

/// The memory of a front that has forwarded one call and does nothing.
async fn idle(servers: &[(&'static str, Server)]) -> Result<Table> {
    let mut rows = Vec::new();
    for (name, server) in servers {
        let mut caller = Caller::connect(server.address(), Wire::WebHttp1).await?;
        caller.call(&Call::get_all()).await.with_context(|| format!("through {name}"))?;
        let bytes = memory::settled(|| server.resident_bytes()).await?;
        let mut row = Row::new(name);
        row.rounds.push(vec![f64::from(u32::try_from(bytes / 1024)?) / 1024.0]);
        rows.push(row);
    }
    Ok(Table { title: "idle: memory".into(), measures: vec![("MiB", 1)], rows })
}
