//! The received items, held compactly: names end to end in large strings with offsets beside them,
//! and ids as a run where they count up by one. A million rows take some 16 MB, where a
//! `Vec<Item>` takes 70.
//!
//! Rows live in blocks of [`BLOCK`], so growing never copies what is already there and no push is
//! slow. It refuses to take a block's names past what a `u32` can point into.

use std::mem::size_of;

/// Rows in a block. A power of two, so that finding a row is a shift and a mask.
const BLOCK: usize = 1 << 16;

/// Items in the order they came, addressed by their position from 0.
#[derive(Debug, Default)]
pub struct Rows {
    blocks: Vec<Block>,
    len: usize,
}

/// The store cannot take the row: the names around it already fill 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the names of these rows are too long to hold")]
pub struct Full;

impl Rows {
    /// No rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a row.
    pub fn push(&mut self, id: i32, name: &str) -> Result<(), Full> {
        if self.len.is_multiple_of(BLOCK) {
            if let Some(full) = self.blocks.last_mut() {
                full.shrink_to_fit();
            }
            self.blocks.push(Block::default());
        }
        if let Some(block) = self.blocks.last_mut() {
            block.push(id, name)?;
            self.len += 1;
        }
        Ok(())
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The id and the name of the row at `index`, counted from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<(i32, &str)> {
        self.blocks.get(index / BLOCK)?.get(index % BLOCK)
    }

    /// Bytes of heap held, spare capacity included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<Block>()
            + self.blocks.iter().map(Block::bytes).sum::<usize>()
    }
}

#[derive(Debug, Default)]
struct Block {
    names: String,
    /// Where each name ends in `names`; it starts where the one before ends.
    ends: Vec<u32>,
    ids: Ids,
}

impl Block {
    fn push(&mut self, id: i32, name: &str) -> Result<(), Full> {
        let end = u32::try_from(self.names.len() + name.len()).map_err(|_| Full)?;
        self.names.push_str(name);
        self.ids.push(self.ends.len(), id);
        self.ends.push(end);
        Ok(())
    }

    fn get(&self, row: usize) -> Option<(i32, &str)> {
        let end = *self.ends.get(row)?;
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        Some((self.ids.get(row), &self.names[start as usize..end as usize]))
    }

    fn shrink_to_fit(&mut self) {
        self.names.shrink_to_fit();
        self.ends.shrink_to_fit();
        if let Ids::Listed(ids) = &mut self.ids {
            ids.shrink_to_fit();
        }
    }

    fn bytes(&self) -> usize {
        let ids = match &self.ids {
            Ids::From(_) => 0,
            Ids::Listed(ids) => ids.capacity() * size_of::<i32>(),
        };
        self.names.capacity() + self.ends.capacity() * size_of::<u32>() + ids
    }
}

/// The ids of a block.
#[derive(Debug)]
enum Ids {
    /// They count up by one from this first id, as those of one answer do.
    From(i32),
    /// Any others.
    Listed(Vec<i32>),
}

impl Default for Ids {
    fn default() -> Self {
        Self::From(0)
    }
}

impl Ids {
    /// Appends `id` to the `len` ids already here.
    fn push(&mut self, len: usize, id: i32) {
        match self {
            Self::From(first) if len == 0 => *first = id,
            Self::From(first) if nth(*first, len) == Some(id) => {}
            Self::From(first) => {
                let first = *first;
                let mut ids: Vec<i32> = (0..len).filter_map(|n| nth(first, n)).collect();
                ids.push(id);
                *self = Self::Listed(ids);
            }
            Self::Listed(ids) => ids.push(id),
        }
    }

    /// The id at `row`, which must be one of the rows pushed.
    fn get(&self, row: usize) -> i32 {
        match self {
            Self::From(first) => nth(*first, row).unwrap_or(i32::MAX),
            Self::Listed(ids) => ids[row],
        }
    }
}

/// The id `n` after `first`, if an id goes so far.
fn nth(first: i32, n: usize) -> Option<i32> {
    first.checked_add(i32::try_from(n).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(items: &[(i32, &str)]) -> Rows {
        let mut rows = Rows::new();
        for (id, name) in items {
            rows.push(*id, name).unwrap();
        }
        rows
    }

    #[test]
    fn rows_come_back_as_they_went_in() {
        let items = [(1, "name 1"), (2, ""), (3, "naïve 🦀"), (4, "name 4")];
        let rows = rows(&items);
        assert_eq!(rows.len(), 4);
        for (i, item) in items.iter().enumerate() {
            assert_eq!(rows.get(i), Some(*item));
        }
        assert_eq!(rows.get(4), None);
    }

    #[test]
    fn an_empty_store_has_nothing_and_holds_nothing() {
        let rows = Rows::new();
        assert!(rows.is_empty());
        assert_eq!(rows.get(0), None);
        assert_eq!(rows.bytes(), 0);
    }

    #[test]
    fn ids_need_not_start_at_one_nor_count_up() {
        for ids in [
            vec![41, 42, 43],
            vec![5, 5, 4, 9],
            vec![i32::MAX - 1, i32::MAX, i32::MIN],
            vec![-3, -2, 7],
        ] {
            let items: Vec<_> = ids.iter().map(|id| (*id, "x")).collect();
            let rows = rows(&items);
            let back: Vec<_> = (0..rows.len()).map(|i| rows.get(i).unwrap().0).collect();
            assert_eq!(back, ids);
        }
    }

    #[test]
    fn rows_are_found_on_both_sides_of_a_block_boundary() {
        let mut rows = Rows::new();
        for id in 1..=i32::try_from(2 * BLOCK + 1).unwrap() {
            // A gap just before the boundary: the blocks on either side know nothing of it.
            let id = if id == 65_536 { -1 } else { id };
            rows.push(id, &format!("name {id}")).unwrap();
        }
        assert_eq!(rows.get(BLOCK - 2), Some((65_535, "name 65535")));
        assert_eq!(rows.get(BLOCK - 1), Some((-1, "name -1")));
        assert_eq!(rows.get(BLOCK), Some((65_537, "name 65537")));
        assert_eq!(rows.get(2 * BLOCK), Some((131_073, "name 131073")));
        assert_eq!(rows.get(2 * BLOCK + 1), None);
    }

    #[test]
    fn a_million_rows_take_less_than_17_mb() {
        let mut rows = Rows::new();
        for id in 1..=1_000_000 {
            rows.push(id, &format!("name {id}")).unwrap();
        }
        assert_eq!(rows.len(), 1_000_000);
        assert_eq!(rows.get(999_999), Some((1_000_000, "name 1000000")));
        assert!(rows.bytes() < 17_000_000, "{} bytes", rows.bytes());
    }
}
