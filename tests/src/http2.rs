//! HTTP/2 frame by frame, to send what no client library would: RFC 9113 section 4.1.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::patiently;

/// What every connection begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The kinds of frames.
pub mod kind {
    #![expect(missing_docs, reason = "the names are those of RFC 9113 section 6")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// The flags of frames.
pub mod flag {
    #![expect(missing_docs, reason = "the names are those of RFC 9113 section 6")]
    pub const NONE: u8 = 0;
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
}

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// One of [`kind`].
    pub kind: u8,
    /// Of [`flag`].
    pub flags: u8,
    /// 0 for the connection.
    pub stream: u32,
    /// What follows the head.
    pub payload: Vec<u8>,
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A list of headers, each a literal that is not indexed: RFC 7541 section 6.2.2. Names and values
/// are shorter than 127 bytes.
pub fn headers(list: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 127);
        [&[length.expect("a short text")], text.as_bytes()].concat()
    };
    list.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// The headers of a gRPC call.
pub fn call_headers(path: &str) -> Vec<u8> {
    headers(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ])
}

/// A connection.
#[derive(Debug)]
pub struct Http2 {
    stream: TcpStream,
}

impl Http2 {
    /// Connects and sends the preface with these settings, each an identifier and a value.
    pub async fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(address).await.expect("connect");
        let mut http2 = Self { stream };
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        let settings = frame(kind::SETTINGS, flag::NONE, 0, &payload);
        http2.send(&[PREFACE, &settings].concat()).await.expect("send the preface");
        http2
    }

    /// The other side of a connection: takes the preface, and sends settings.
    pub async fn accept(mut stream: TcpStream) -> Self {
        let mut preface = [0; PREFACE.len()];
        patiently("the preface", stream.read_exact(&mut preface)).await.expect("a preface");
        assert_eq!(preface, PREFACE);
        let mut http2 = Self { stream };
        let settings = frame(kind::SETTINGS, flag::NONE, 0, &[]);
        http2.send(&settings).await.expect("send the settings");
        http2
    }

    /// Sends bytes; an error says that the server has hung up.
    pub async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        patiently("room to write", self.stream.write_all(bytes)).await
    }

    /// The next frame; None at the connection's end, clean or not.
    pub async fn next(&mut self) -> Option<Frame> {
        patiently("a frame", async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, flags, stream @ ..] = head;
            let length = u32::from_be_bytes([0, a, b, c]);
            let mut payload = vec![0; usize::try_from(length).expect("64 bits")];
            self.stream.read_exact(&mut payload).await.ok()?;
            Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
        })
        .await
    }

    /// Reads until a frame of this kind; None if the connection ends before it.
    pub async fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Reads to the end; gives the error code of the last GOAWAY, if there was one.
    pub async fn end(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(goaway) = self.until(kind::GOAWAY).await {
            let bytes = goaway.payload[4..8].try_into().expect("GOAWAY has eight bytes or more");
            code = Some(u32::from_be_bytes(bytes));
        }
        code
    }
}
