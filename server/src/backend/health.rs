//! Whether an address is up, asked through `grpc.health.v1`. A backend without that service is up when
//! it answers at all.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{fault::Fault, own_call::OwnCall, peer::Peer};

/// How often an address that is down is tried, unless it is tried more often anyway.
const DOWN_INTERVAL: Duration = Duration::from_secs(1);

/// Asks again and again.
pub(super) async fn watch(peer: Arc<Peer>, interval: Duration) {
    loop {
        let health = check(&peer).await;
        let pause = if health.is_ok() { interval } else { interval.min(DOWN_INTERVAL) };
        peer.set_health(health);
        // Many fronts that were started together must not ask together for ever.
        sleep(pause.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
    }
}

/// Asks for the health of the server as a whole.
async fn check(peer: &Arc<Peer>) -> Result<(), Fault> {
    let lease = peer.lease().await?;
    let patience = peer.target.connect_timeout;
    let mut client = HealthClient::new(OwnCall::new(lease));
    let Ok(answer) = timeout(patience, client.check(HealthCheckRequest::default())).await else {
        // Perhaps it is only busy; then it answers a ping.
        peer.suspect();
        return Err(Fault::HealthTimeout(patience));
    };
    match answer.map(|answer| answer.into_inner().status()) {
        Ok(ServingStatus::Serving) => Ok(()),
        Ok(other) => Err(Fault::Unhealthy(other.as_str_name().into())),
        Err(status) if status.code() == Code::Unavailable => {
            Err(Fault::Unhealthy(status.message().into()))
        }
        // No such service, or not for us: it lives, and that is all there is to know.
        Err(_) => Ok(()),
    }
}
