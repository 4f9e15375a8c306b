//! Numbers as protobuf writes them.

/// How many bytes a number takes as a varint, which has seven bits in each byte.
/// <https://protobuf.dev/programming-guides/encoding/#varints>
#[inline]
#[must_use]
pub const fn varint_bytes(number: u64) -> u32 {
    match number.checked_ilog2() {
        Some(log) => log / 7 + 1,
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_bits_take_a_byte_and_the_largest_number_takes_ten() {
        for (number, bytes) in [(0, 1), (1, 1), (127, 1), (128, 2), (16_383, 2), (u64::MAX, 10)] {
            assert_eq!(varint_bytes(number), bytes, "{number}");
        }
    }
}
