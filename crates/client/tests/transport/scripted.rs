//! A `fetch` that answers as it is told, chunk for chunk: no network would split so exactly.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use futures_util::stream::{self, StreamExt as _};
use js_sys::{Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_streams::ReadableStream;
use web_sys::{
    AbortSignal, Headers, Request, RequestInit, RequestRedirect, Response, ResponseInit,
};

/// What `fetch` answers.
#[derive(Clone)]
pub(crate) struct Answer {
    /// 0 for one without a head, as a redirect is that was not followed.
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) chunks: Vec<Vec<u8>>,
    pub(crate) then: Then,
}

/// What comes behind the last chunk.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// The end.
    End,
    /// A failure of the network.
    Break,
    /// Nothing, ever.
    Wait,
}

/// An answer in gRPC-Web with these chunks.
pub(crate) fn grpc_web(chunks: impl IntoIterator<Item = Vec<u8>>) -> Answer {
    Answer {
        status: 200,
        headers: vec![("content-type", "application/grpc-web+proto")],
        chunks: chunks.into_iter().collect(),
        then: Then::End,
    }
}

/// What was asked of a scripted `fetch`.
#[derive(Default)]
pub(crate) struct Asked {
    /// Every request.
    pub(crate) requests: Vec<Request>,
    /// What the last does about a redirect.
    pub(crate) redirect: Option<RequestRedirect>,
    /// The way of the last to be aborted.
    pub(crate) signal: Option<AbortSignal>,
}

/// `fetch`, scripted until this is dropped.
pub(crate) struct Scripted {
    pub(crate) asked: Rc<RefCell<Asked>>,
    fetch: Closure<dyn FnMut(Request, RequestInit) -> Promise>,
    before: JsValue,
}

impl Scripted {
    /// Answers so, every time; or, with `None`, as if there were no network.
    pub(crate) fn new(answer: Option<Answer>) -> Self {
        Self::in_turn([answer])
    }

    /// Gives these answers one after another, and the last of them from then on.
    pub(crate) fn in_turn(answers: impl IntoIterator<Item = Option<Answer>>) -> Self {
        let mut answers: VecDeque<_> = answers.into_iter().collect();
        let asked = Rc::new(RefCell::new(Asked::default()));
        let fetch = Closure::new({
            let asked = Rc::clone(&asked);
            move |request: Request, init: RequestInit| {
                let mut asked = asked.borrow_mut();
                asked.requests.push(request);
                asked.redirect = init.get_redirect();
                asked.signal = init.get_signal();
                let next =
                    if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
                match next.flatten() {
                    Some(answer) => Promise::resolve(&response(answer)),
                    None => Promise::reject(&js_sys::TypeError::new("Failed to fetch")),
                }
            }
        });
        let before = global_fetch();
        set_global_fetch(fetch.as_ref());
        Self { asked, fetch, before }
    }

    /// Whether `fetch` is this one at this moment.
    pub(crate) fn is_global(&self) -> bool {
        global_fetch() == *self.fetch.as_ref()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        set_global_fetch(&self.before);
    }
}

fn global_fetch() -> JsValue {
    Reflect::get(&js_sys::global(), &"fetch".into()).unwrap()
}

fn set_global_fetch(fetch: &JsValue) {
    assert!(Reflect::set(&js_sys::global(), &"fetch".into(), fetch).unwrap());
}

fn response(answer: Answer) -> JsValue {
    if answer.status == 0 {
        return Response::error().into();
    }
    let headers = Headers::new().unwrap();
    for (name, value) in answer.headers {
        headers.append(name, value).unwrap();
    }
    let init = ResponseInit::new();
    init.set_status(answer.status);
    init.set_headers(&headers);
    let chunks =
        stream::iter(answer.chunks).map(|chunk| Ok(JsValue::from(Uint8Array::from(&chunk[..]))));
    let then = match answer.then {
        Then::End => stream::empty().left_stream(),
        Then::Break => {
            let error = JsValue::from(js_sys::TypeError::new("network error"));
            stream::iter([Err(error)]).left_stream().right_stream()
        }
        Then::Wait => stream::pending().right_stream().right_stream(),
    };
    let body = ReadableStream::from_stream(chunks.chain(then)).into_raw().unchecked_into();
    Response::new_with_opt_readable_stream_and_init(Some(&body), &init).unwrap().into()
}
