//! The domain: which items a request means. Knows neither tonic nor the wire.

use std::ops::Range;

/// The items `after+1 ..= after+length`. Item `i` is called `name i`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemRange {
    // Wider than an id, so that the range that ends with the largest id has an end.
    ids: Range<i64>,
}

/// Why a request means no items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ItemRangeError {
    /// `length` is below zero.
    #[error("length must be 0 or more, not {0}")]
    NegativeLength(i32),

    /// `after` is below zero.
    #[error("after must be 0 or more, not {0}")]
    NegativeAfter(i32),

    /// The last item's id would pass the largest int32.
    #[error("length {length} after {after} passes the last item, {}", i32::MAX)]
    PastTheEnd {
        /// How many were asked for.
        length: i32,
        /// After which.
        after: i32,
    },
}

impl ItemRangeError {
    /// The request's field that is to blame.
    pub fn field(&self) -> &'static str {
        match self {
            Self::NegativeLength(_) | Self::PastTheEnd { .. } => "length",
            Self::NegativeAfter(_) => "after",
        }
    }
}

impl ItemRange {
    /// The `length` items that follow item `after`.
    pub fn new(length: i32, after: i32) -> Result<Self, ItemRangeError> {
        if length < 0 {
            return Err(ItemRangeError::NegativeLength(length));
        }
        if after < 0 {
            return Err(ItemRangeError::NegativeAfter(after));
        }
        if after.checked_add(length).is_none() {
            return Err(ItemRangeError::PastTheEnd { length, after });
        }
        let first = i64::from(after) + 1;
        Ok(Self { ids: first..first + i64::from(length) })
    }

    /// The ids as a range; all are in `1 ..= i32::MAX`.
    pub fn ids(&self) -> Range<i64> {
        self.ids.clone()
    }
}

impl Iterator for ItemRange {
    /// An item's id and its name.
    type Item = (i32, String);

    fn next(&mut self) -> Option<Self::Item> {
        let id = i32::try_from(self.ids.next()?).ok()?;
        Some((id, name(id)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ids.size_hint()
    }
}

impl ExactSizeIterator for ItemRange {}

fn name(id: i32) -> String {
    // The longest name is "name 2147483647": one allocation, never a second.
    let mut name = String::with_capacity(15);
    name.push_str("name ");
    name.push_str(itoa::Buffer::new().format(id));
    name
}

/// What `sayHello` answers. Any name is fine, the empty one too.
pub fn greeting(name: &str) -> String {
    ["Hello ", name, "!"].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn items_count_from_one() {
        let items: Vec<_> = ItemRange::new(3, 0).unwrap().collect();
        assert_eq!(items, [(1, "name 1".into()), (2, "name 2".into()), (3, "name 3".into())]);
    }

    #[test]
    fn after_continues_where_the_caller_stopped() {
        let items: Vec<_> = ItemRange::new(2, 10).unwrap().collect();
        assert_eq!(items, [(11, "name 11".into()), (12, "name 12".into())]);
    }

    #[test]
    fn zero_items_are_fine_even_after_the_last() {
        assert_eq!(ItemRange::new(0, 0).unwrap().count(), 0);
        assert_eq!(ItemRange::new(0, i32::MAX).unwrap().count(), 0);
    }

    #[test]
    fn the_last_item_can_be_reached_and_not_passed() {
        let last: Vec<_> = ItemRange::new(1, i32::MAX - 1).unwrap().collect();
        assert_eq!(last, [(i32::MAX, "name 2147483647".into())]);
        assert_eq!(
            ItemRange::new(2, i32::MAX - 1),
            Err(ItemRangeError::PastTheEnd { length: 2, after: i32::MAX - 1 })
        );
    }

    #[test]
    fn an_error_names_its_field() {
        let field = |length, after| ItemRange::new(length, after).unwrap_err().field();
        assert_eq!(field(-1, 0), "length");
        assert_eq!(field(i32::MIN, -1), "length");
        assert_eq!(field(0, -1), "after");
        assert_eq!(field(i32::MAX, 1), "length");
    }

    proptest! {
        #[test]
        fn a_range_gives_exactly_its_items(length in 0..500_i32, after in 0..=i32::MAX - 500) {
            let items: Vec<_> = ItemRange::new(length, after).unwrap().collect();
            let ids: Vec<_> = items.iter().map(|(id, _)| *id).collect();
            prop_assert_eq!(ids, (after + 1..=after + length).collect::<Vec<_>>());
            for (id, name) in items {
                prop_assert_eq!(name, format!("name {}", id));
            }
        }

        #[test]
        fn every_request_is_a_range_or_an_error(length: i32, after: i32) {
            let sound = length >= 0 && after >= 0 && after.checked_add(length).is_some();
            let range = ItemRange::new(length, after);
            prop_assert_eq!(range.is_ok(), sound);
            if let Ok(range) = range {
                prop_assert_eq!(range.len(), usize::try_from(length).unwrap());
            }
        }
    }

    #[test]
    fn a_greeting_takes_any_name() {
        assert_eq!(greeting("Gonzalo"), "Hello Gonzalo!");
        assert_eq!(greeting(""), "Hello !");
        assert_eq!(greeting("世界 🌍"), "Hello 世界 🌍!");
    }
}
