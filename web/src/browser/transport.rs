//! How calls leave the page: by `fetch`, as binary gRPC-Web, to the origin the page came from.

use runnel_client::BrowserNetwork;
use runnel_client::transport::FetchTransport;
use runnel_web::api::ApiClient;

/// The client every panel calls through.
pub(crate) type Api = ApiClient<FetchTransport>;

/// A client of the server that the page came from.
pub(crate) fn same_origin(network: &BrowserNetwork) -> Api {
    ApiClient::new(runnel_client::same_origin()).with_network(network.watch())
}
