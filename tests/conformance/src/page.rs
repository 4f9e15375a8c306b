//! The page of `conformance-client`: runs one case after another through [`runnel_client::transport`],
//! the stack that the page of the product calls through.
//!
//! It puts a function `runCase` into the window, which takes an encoded request and promises the
//! encoded response, both in base64.

mod call;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use js_sys::Promise;
use prost::Message as _;
use wasm_bindgen::{JsValue, closure::Closure};
use wasm_bindgen_futures::future_to_promise;

use crate::proto::{
    ClientCompatRequest, ClientCompatResponse, ClientErrorResult,
    client_compat_response::Result as CaseResult,
};

/// Puts `runCase` into the window.
pub fn start() {
    console_error_panic_hook::set_once();
    let run = Closure::<dyn FnMut(String) -> Promise>::new(|request: String| {
        future_to_promise(async move {
            run(&request).await.map(JsValue::from).map_err(|error| JsValue::from(error.to_string()))
        })
    });
    // Cannot fail: the window is an ordinary object, and has no such property.
    let _ = js_sys::Reflect::set(&js_sys::global(), &"runCase".into(), &run.into_js_value());
}

async fn run(request: &str) -> Result<String, Box<dyn std::error::Error>> {
    let request = ClientCompatRequest::decode(STANDARD.decode(request)?.as_slice())?;
    let result = match call::invoke(&request).await {
        Ok(response) => CaseResult::Response(response),
        Err(message) => CaseResult::Error(ClientErrorResult { message }),
    };
    let response = ClientCompatResponse { test_name: request.test_name, result: Some(result) };
    Ok(STANDARD.encode(response.encode_to_vec()))
}
