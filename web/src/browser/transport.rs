//! How calls leave the page: by `fetch`, as binary gRPC-Web, to the origin the page came from.

use leptos::prelude::window;
use runnel_client::transport::{FetchTransport, MESSAGE_LIMIT_BYTES, by_fetch};
use runnel_web::api::ApiClient;

use super::network::Network;

/// The client every panel calls through.
pub(crate) type Api = ApiClient<FetchTransport>;

/// A client of the server that the page came from.
pub(crate) fn same_origin(network: &Network) -> Api {
    let origin = window().location().origin().unwrap_or_default();
    ApiClient::new(by_fetch(origin, MESSAGE_LIMIT_BYTES)).with_network(network.watch())
}
