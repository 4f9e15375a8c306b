//! The calls of `protos/api.proto`, encoded by hand from the generated messages: what the client
//! sends, and what every server must answer to the byte.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;
use runnel_protos::api::{ApiRequest, Hello, HelloRequest, Item, Items};

/// One call: the request, and the messages of its answer. Status and trailers are not in it.
#[derive(Clone, Debug)]
pub struct Call {
    /// The path of the method.
    pub path: &'static str,
    /// The request's one message in its frame.
    pub request: Bytes,
    /// The answer's messages in their frames.
    pub answer: Bytes,
}

impl Call {
    /// `sayHello("Runnel")`.
    pub fn say_hello() -> Self {
        Self {
            path: "/api.Api/sayHello",
            request: framed([HelloRequest { name: "Runnel".into() }]),
            answer: framed([Hello { message: "Hello Runnel!".into() }]),
        }
    }

    /// `getAll(10)`.
    pub fn get_all() -> Self {
        Self {
            path: "/api.Api/getAll",
            request: framed([ApiRequest { length: 10, after: 0 }]),
            answer: framed([Items { items: (1..=10).map(item).collect() }]),
        }
    }

    /// `getStream(length)`.
    pub fn get_stream(length: i32) -> Self {
        Self {
            path: "/api.Api/getStream",
            request: framed([ApiRequest { length, after: 0 }]),
            answer: framed((1..=length).map(item)),
        }
    }

    /// `getStream` of every item there is. Nobody waits for the whole answer, so it is not made.
    pub fn endless_stream() -> Self {
        let request = framed([ApiRequest { length: i32::MAX, after: 0 }]);
        Self { request, ..Self::get_stream(0) }
    }
}

fn item(id: i32) -> Item {
    Item { id, name: format!("name {id}") }
}

/// Each message after a flag byte (not compressed) and its length.
fn framed(messages: impl IntoIterator<Item = impl Message>) -> Bytes {
    let mut frames = BytesMut::new();
    for message in messages {
        let payload = message.encode_to_vec();
        frames.put_u8(0);
        // A length that did not fit would be a message no client takes; here all are small.
        frames.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
        frames.put_slice(&payload);
    }
    frames.freeze()
}
