//! The body of a response: bytes in memory, or a file that is read while it is sent.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// The body of a response. It fails if the file becomes shorter while it is read, which ends the
/// connection, because `content-length` was sent already.
#[derive(Debug, Default)]
pub struct Body(Inner);

#[derive(Debug)]
enum Inner {
    Whole(Bytes),
    File(reading::Reading),
}

impl Default for Inner {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl Body {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self(Inner::Whole(bytes.into()))
    }

    /// The first `bytes` of an open file.
    pub(crate) fn file(file: std::fs::File, bytes: u64) -> Self {
        Self(Inner::File(reading::Reading::new(file, bytes)))
    }

    /// Its bytes, if they are in memory.
    pub(crate) fn bytes(&self) -> Option<&Bytes> {
        match &self.0 {
            Inner::Whole(bytes) => Some(bytes),
            Inner::File(_) => None,
        }
    }

    /// How many bytes are left.
    pub(crate) fn remaining_bytes(&self) -> u64 {
        match &self.0 {
            Inner::Whole(bytes) => bytes.len() as u64,
            Inner::File(reading) => reading.remaining_bytes(),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut self.0 {
            Inner::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Inner::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Inner::File(reading) => {
                reading.poll_chunk(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.remaining_bytes() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining_bytes())
    }
}

mod reading {
    use std::{
        io,
        pin::Pin,
        task::{Context, Poll, ready},
    };

    use bytes::{Bytes, BytesMut};
    use tokio::io::{AsyncRead, ReadBuf};

    /// How much of a file is in memory at once.
    const CHUNK_BYTES: u64 = 64 * 1024;

    #[derive(Debug)]
    pub(super) struct Reading {
        file: tokio::fs::File,
        remaining_bytes: u64,
        chunk: BytesMut,
    }

    impl Reading {
        pub(super) fn new(file: std::fs::File, bytes: u64) -> Self {
            let file = tokio::fs::File::from_std(file);
            Self { file, remaining_bytes: bytes, chunk: BytesMut::new() }
        }

        pub(super) fn remaining_bytes(&self) -> u64 {
            self.remaining_bytes
        }

        pub(super) fn poll_chunk(
            &mut self,
            cx: &mut Context<'_>,
        ) -> Poll<Option<io::Result<Bytes>>> {
            if self.remaining_bytes == 0 {
                return Poll::Ready(None);
            }
            let length = self.remaining_bytes.min(CHUNK_BYTES);
            self.chunk.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
            let mut buffer = ReadBuf::new(&mut self.chunk);
            if let Err(error) = ready!(Pin::new(&mut self.file).poll_read(cx, &mut buffer)) {
                return Poll::Ready(Some(Err(error)));
            }
            let read = buffer.filled().len();
            if read == 0 {
                let shorter = "the file became shorter while it was read";
                return Poll::Ready(Some(Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    shorter,
                ))));
            }
            self.remaining_bytes -= read as u64;
            Poll::Ready(Some(Ok(self.chunk.split_to(read).freeze())))
        }
    }
}
