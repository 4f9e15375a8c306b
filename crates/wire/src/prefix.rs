//! What each message begins with, and in gRPC-Web the trailers, too.

/// The length of a [`Prefix`], in bytes.
pub const PREFIX_BYTES: usize = 5;

/// The flag of a message that is compressed.
pub const COMPRESSED_FLAG: u8 = 0x01;

/// The flag of the trailers, which are the last frame of a gRPC-Web response.
pub const TRAILERS_FLAG: u8 = 0x80;

/// The five bytes before a message: flags, and the message's length as a big-endian number.
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests>,
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// 0 for a message as it is, [`COMPRESSED_FLAG`], or [`TRAILERS_FLAG`].
    pub flags: u8,
    /// How many bytes follow.
    pub length_bytes: u32,
}

impl Prefix {
    /// Reads a prefix.
    #[inline]
    #[must_use]
    pub const fn from_bytes([flags, length @ ..]: [u8; PREFIX_BYTES]) -> Self {
        Self { flags, length_bytes: u32::from_be_bytes(length) }
    }

    /// Writes this prefix.
    #[inline]
    #[must_use]
    pub const fn to_bytes(self) -> [u8; PREFIX_BYTES] {
        let [a, b, c, d] = self.length_bytes.to_be_bytes();
        [self.flags, a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_flag_and_a_big_endian_length() {
        let prefix = Prefix { flags: TRAILERS_FLAG, length_bytes: 0x0102_0304 };
        assert_eq!(prefix.to_bytes(), [0x80, 1, 2, 3, 4]);
        assert_eq!(Prefix::from_bytes(prefix.to_bytes()), prefix);
    }
}
