//! How calls leave the page: by `fetch`, as binary gRPC-Web, to the origin the page came from.

use leptos::prelude::window;
use runnel_web::api::ApiClient;
use tonic_web_wasm_client::Client;

/// The client every panel calls through.
pub(crate) type Api = ApiClient<Client>;

/// A client of the server that the page came from.
pub(crate) fn same_origin() -> Api {
    let origin = window().location().origin().unwrap_or_default();
    ApiClient::new(Client::new(origin))
}
