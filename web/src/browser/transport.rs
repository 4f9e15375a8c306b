//! How calls leave the page: by `fetch`, as binary gRPC-Web, to the server from which the page was loaded,
//! below the path where a proxy has mounted it.

use runnel_client::{
    BrowserNetwork,
    transport::{FetchTransport, MESSAGE_LIMIT_BYTES, by_fetch},
};
use runnel_web::api::ApiClient;
use wasm_bindgen::prelude::wasm_bindgen;

/// The client every panel calls through.
pub(crate) type Api = ApiClient<FetchTransport>;

/// A client of the server that the page came from.
pub(crate) fn same_origin(network: &BrowserNetwork) -> Api {
    ApiClient::new(by_fetch(root(), MESSAGE_LIMIT_BYTES)).with_network(network.watch())
}

/// The URL where the page is mounted, without a slash at its end. The program is at that root, whatever
/// place in the page was opened.
fn root() -> String {
    let program = IMPORT_META.with(ImportMeta::url);
    program.rsplit_once('/').map_or(String::new(), |(root, _file)| root.to_owned())
}

#[wasm_bindgen]
extern "C" {
    type ImportMeta;

    #[wasm_bindgen(thread_local_v2, js_namespace = import, js_name = meta)]
    static IMPORT_META: ImportMeta;

    /// The URL that the JavaScript of this program came from.
    #[wasm_bindgen(method, getter)]
    fn url(this: &ImportMeta) -> String;
}
