//! Whether an address is up, asked through `grpc.health.v1`. A backend without that service is up when
//! it answers at all.

use std::{error::Error as _, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tonic::{Code, Status};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{endpoint::Endpoint, fault::Fault, probe::Probe};

/// How often an address that is down is tried, unless it is tried more often anyway; no address is asked
/// more often because of a doubt.
const DOWN_INTERVAL: Duration = Duration::from_secs(1);

/// Asks again and again, and at once when there is a doubt.
pub(super) async fn watch(endpoint: Arc<Endpoint>, interval: Duration) {
    loop {
        if let Some(health) = check(&endpoint).await {
            endpoint.set_health(health);
        }
        let is_up = matches!(endpoint.health(), Some(Ok(())));
        let at_least = interval.min(DOWN_INTERVAL);
        let pause = if is_up { interval } else { at_least };
        // Many proxies that were started together must not ask together for ever.
        let spread = 0.8 + 0.4 * fastrand::f64();
        sleep(at_least.mul_f64(spread)).await;
        // An Err is the interval's end.
        let _ = timeout(pause.saturating_sub(at_least).mul_f64(spread), endpoint.doubted()).await;
    }
}

/// Asks for the health of the server as a whole. None if that cannot be known now: it has no room for
/// the question, which says nothing against it.
async fn check(endpoint: &Arc<Endpoint>) -> Option<Result<(), Fault>> {
    match ask(endpoint).await {
        // It grew old or full just then. Most likely another connection takes the question.
        Err(fault) if fault.is_unseen() => match ask(endpoint).await {
            Err(fault) if fault.is_unseen() => None,
            health => Some(health),
        },
        Err(Fault::Full { .. }) => {
            // Perhaps the calls that fill it are those of a dead machine.
            endpoint.suspect();
            None
        }
        health => Some(health),
    }
}

async fn ask(endpoint: &Arc<Endpoint>) -> Result<(), Fault> {
    let lease = endpoint.lease_for_probe().await?;
    let patience = endpoint.upstream.connect_timeout;
    let mut client = HealthClient::new(Probe::new(lease));
    let Ok(response) = timeout(patience, client.check(HealthCheckRequest::default())).await else {
        // Perhaps it is only busy; then it answers a ping.
        endpoint.suspect();
        return Err(Fault::HealthTimeout(patience));
    };
    match response.map(|response| response.into_inner().status()) {
        Ok(ServingStatus::Serving) => Ok(()),
        Ok(other) => Err(Fault::Unhealthy(other.as_str_name().into())),
        Err(status) => match fault_of(&status) {
            Some(fault) if fault.is_unseen() => Err(fault.clone()),
            _ if status.code() == Code::Unavailable => {
                Err(Fault::Unhealthy(status.message().into()))
            }
            // No such service, or not for us: it lives, and that is all there is to know.
            _ => Ok(()),
        },
    }
}

/// The fault for which a [`Probe`] failed, if it did.
fn fault_of(status: &Status) -> Option<&Fault> {
    status.source()?.downcast_ref()
}
