//! [`DecoratedFetch`]: what goes beneath the library, which calls the browser's `fetch` by its global
//! name and offers no other way in. So while the library's own code runs, and no longer, that name
//! means a `fetch` that reads along: nothing else in the page ever sees it.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use http::Request;
use js_sys::{Function, Promise, Reflect};
use tonic::{body::Body, codegen::Service};
use wasm_bindgen::{JsCast as _, JsValue, closure::Closure};
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::{Headers, Response, ResponseInit};

use super::{
    answer::{Answer, Head},
    error::TransportError,
    exchange::Exchange,
    fetch_error::{is_abort, words},
    pieces::Pieces,
};

/// The library, with an eye on what it fetches. Settles the [`Exchange`] of each request.
#[derive(Debug, Clone)]
pub struct DecoratedFetch<S> {
    inner: S,
    message_limit_bytes: usize,
}

impl<S> DecoratedFetch<S> {
    /// Watches `inner`, and lets it have messages of up to `message_limit_bytes`.
    pub fn new(inner: S, message_limit_bytes: usize) -> Self {
        Self { inner, message_limit_bytes }
    }
}

impl<S> Service<Request<Body>> for DecoratedFetch<S>
where
    S: Service<Request<Body>, Future: Unpin + 'static>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let exchange = request.extensions().get::<Exchange>().cloned().unwrap_or_default();
        let message_limit_bytes = self.message_limit_bytes;
        let mut call = self.inner.call(request);
        Box::pin(async move {
            let real = global_fetch();
            let decorated = Closure::<dyn FnMut(JsValue, JsValue) -> Promise>::new(
                move |request: JsValue, init: JsValue| {
                    let answer = real.call2(&JsValue::UNDEFINED, &request, &init);
                    future_to_promise(decorate(answer, exchange.clone(), message_limit_bytes))
                },
            );
            poll_fn(|cx| as_global_fetch(decorated.as_ref(), || Pin::new(&mut call).poll(cx))).await
        })
    }
}

fn global_fetch() -> Function {
    // Always there where the library runs. Were it not, calling it would say so.
    Reflect::get(&js_sys::global(), &"fetch".into()).unwrap_or_default().unchecked_into()
}

/// Runs `f` with `fetch` as the global of that name, and puts back what it was.
fn as_global_fetch<T>(fetch: &JsValue, f: impl FnOnce() -> T) -> T {
    let (global, name) = (js_sys::global(), JsValue::from_str("fetch"));
    let before = global_fetch();
    // A page that froze its globals keeps the library's faults, and works as well as the library.
    let set = Reflect::set(&global, &name, fetch);
    let outcome = f();
    if set.is_ok() {
        // What could be set just now can be set again.
        let _ = Reflect::set(&global, &name, &before);
    }
    outcome
}

/// What `fetch` gave, as the library can take it; or a reason why not, which `exchange` knows better.
async fn decorate(
    answer: Result<JsValue, JsValue>,
    exchange: Exchange,
    message_limit_bytes: usize,
) -> Result<JsValue, JsValue> {
    let answer = match answer {
        Ok(promise) => JsFuture::from(Promise::from(promise)).await,
        Err(error) => Err(error),
    };
    let response: Response = match answer {
        Ok(response) => response.unchecked_into(),
        Err(error) => {
            exchange.settle(Err(no_answer(&error)));
            return Err(error);
        }
    };
    let headers = response.headers();
    let header = |name| headers.get(name).ok().flatten();
    let (content_type, grpc_status) = (header("content-type"), header("grpc-status"));
    let head = Head {
        http_status: response.status(),
        content_type: content_type.as_deref(),
        grpc_status: grpc_status.as_deref(),
    };
    let answer = match Answer::begin(head, message_limit_bytes) {
        Ok(answer) => answer,
        Err(error) => {
            let words = JsValue::from_str(&error.to_string());
            exchange.settle(Err(error));
            return Err(words);
        }
    };
    let body = Pieces::new(response.body(), answer, exchange).into_js();
    let headers = Headers::new_with_headers(&headers)?;
    // What it was has been judged, and the library wants it spelled so.
    headers.set("content-type", "application/grpc-web+proto")?;
    let init = ResponseInit::new();
    init.set_headers(&headers);
    // The HTTP status has been judged too, and an answer with a body may not have every one.
    Ok(Response::new_with_opt_readable_stream_and_init(Some(&body), &init)?.into())
}

fn no_answer(error: &JsValue) -> TransportError {
    let detail = words(error);
    if is_abort(error) {
        TransportError::Aborted { detail }
    } else {
        TransportError::NoAnswer { detail }
    }
}
