//! [`Terms`]: what all calls of a client have in common.

use std::sync::Arc;

use crate::network::Network;
use crate::{Policy, RetryBudget};

/// The policy, the retry budget and the network of calls. Clones share the retry budget.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) policy: Arc<Policy>,
    pub(crate) budget: Arc<RetryBudget>,
    pub(crate) network: Network,
}
