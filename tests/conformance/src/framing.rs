//! Messages on a pipe, each after its length: four bytes, big-endian. So the suite writes what it asks
//! for on a program's standard input, and so it reads the answers.

use std::io::{self, ErrorKind, Read, Write};

use prost::Message;

/// How long a length is.
const LENGTH_BYTES: usize = 4;

/// The next message; None when there is none because the pipe was closed.
pub fn read<M: Message + Default>(mut from: impl Read) -> io::Result<Option<M>> {
    let mut length = Vec::with_capacity(LENGTH_BYTES);
    from.by_ref().take(LENGTH_BYTES as u64).read_to_end(&mut length)?;
    if length.is_empty() {
        return Ok(None);
    }
    let length: [u8; LENGTH_BYTES] =
        length.try_into().map_err(|_| io::Error::from(ErrorKind::UnexpectedEof))?;
    let length = u32::from_be_bytes(length);

    // Grows as bytes come: a wrong length must not cost its size in memory.
    let mut message = Vec::new();
    from.take(length.into()).read_to_end(&mut message)?;
    if u32::try_from(message.len()) != Ok(length) {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(M::decode(message.as_slice())?))
}

/// Writes a message, at once and whole.
pub fn write(mut to: impl Write, message: &impl Message) -> io::Result<()> {
    let length = u32::try_from(message.encoded_len())
        .map_err(|_| io::Error::new(ErrorKind::InvalidInput, "a message of more than 4 GiB"))?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(message.encode_to_vec());
    to.write_all(&bytes)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    // prost lets a String be a message with that one field.
    fn written(messages: &[&str]) -> Vec<u8> {
        let mut pipe = Vec::new();
        for message in messages {
            write(&mut pipe, &(*message).to_owned()).unwrap();
        }
        pipe
    }

    #[test]
    fn messages_are_read_as_they_were_written() {
        let pipe = written(&["one", "", "three"]);
        let mut from = pipe.as_slice();
        let mut next = || read::<String>(&mut from).unwrap();
        assert_eq!(next().as_deref(), Some("one"));
        assert_eq!(next().as_deref(), Some(""));
        assert_eq!(next().as_deref(), Some("three"));
        assert_eq!(next(), None);
    }

    #[test]
    fn the_length_is_four_bytes_big_endian() {
        assert_eq!(written(&["ab"]), [0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
    }

    #[test]
    fn a_pipe_closed_within_a_message_is_an_error() {
        let pipe = written(&["one"]);
        for end in 1..pipe.len() {
            let error = read::<String>(&pipe[..end]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{end} bytes");
        }
    }
}
