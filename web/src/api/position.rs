//! [`Position`]: which items of a stream have arrived, what to request next, and what the id of the next
//! item means. It involves neither time nor transport: it is plain arithmetic.

use runnel_protos::api::{ApiRequest, Item};

use runnel_client::{Accept, CallError, Resume};

/// The position in a stream of the items `1..=length`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The number of items in all. What a negative number means is for the server to decide.
    length: i32,
    /// The id of the last item that was delivered; 0 before the first.
    last: i32,
    /// The `after` of the open call.
    after: i32,
    /// The id that must come next; after the largest possible id, one more than that.
    due: i64,
    /// The server was found not to know `after`.
    from_the_start: bool,
}

impl Position {
    /// The beginning of `length` items.
    pub(super) fn new(length: i32) -> Self {
        Self { length, last: 0, after: 0, due: 1, from_the_start: false }
    }

    /// Takes note of the next item of the response to [`Self::next_request`].
    fn take(&mut self, id: i32) -> Result<Accept, CallError> {
        if i64::from(id) != self.due || id > self.length {
            return self.out_of_order(id);
        }
        self.due += 1;
        if id <= self.last {
            return Ok(Accept::Skip);
        }
        self.last = id;
        Ok(Accept::Deliver)
    }

    /// Judges an item with another id than the expected one: an error, unless it shows that the server does
    /// not know `after` and sends items that have arrived already. From such a server, all items are
    /// requested again.
    #[cold]
    fn out_of_order(&mut self, id: i32) -> Result<Accept, CallError> {
        let is_the_first = self.due == i64::from(self.after) + 1;
        if id == 1 && is_the_first && self.after > 0 {
            self.from_the_start = true;
            return Ok(Accept::AskAgain);
        }
        let detail = if id > self.length {
            format!("item {id} came, where {} were asked for", self.length)
        } else {
            format!("item {id} came, where item {} was due", self.due)
        };
        Err(CallError::Protocol { detail })
    }
}

impl Resume for Position {
    type Request = ApiRequest;
    type Message = Item;

    fn next_request(&mut self) -> ApiRequest {
        self.after = if self.from_the_start { 0 } else { self.last };
        self.due = i64::from(self.after) + 1;
        ApiRequest { length: self.length.saturating_sub(self.after), after: self.after }
    }

    fn accept(&mut self, item: &Item) -> Result<Accept, CallError> {
        self.take(item.id)
    }

    fn is_complete(&self) -> bool {
        self.length > 0 && self.last == self.length
    }

    fn end(&self) -> Result<(), CallError> {
        if self.last >= self.length {
            return Ok(());
        }
        let detail = format!("it ended well after {} of {} items", self.last, self.length);
        Err(CallError::Protocol { detail })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Hands the ids of one answer over; those handed on, and whether it must be asked again.
    fn receive(
        position: &mut Position,
        ids: impl IntoIterator<Item = i32>,
        taken: &mut Vec<i32>,
    ) -> Result<Accept, CallError> {
        for id in ids {
            match position.take(id)? {
                Accept::Deliver => taken.push(id),
                Accept::Skip => {}
                Accept::AskAgain => return Ok(Accept::AskAgain),
            }
        }
        Ok(Accept::Deliver)
    }

    #[test]
    fn the_rest_is_what_comes_after_the_last() {
        let mut position = Position::new(5);
        assert_eq!(position.next_request(), ApiRequest { length: 5, after: 0 });
        receive(&mut position, [1, 2, 3], &mut vec![]).unwrap();
        assert_eq!(position.next_request(), ApiRequest { length: 2, after: 3 });
        receive(&mut position, [4, 5], &mut vec![]).unwrap();
        assert!(position.is_complete());
        position.end().unwrap();
    }

    #[test]
    fn a_server_of_the_original_contract_is_noticed_and_asked_for_the_whole() {
        let (mut position, mut taken) = (Position::new(5), vec![]);
        position.next_request();
        receive(&mut position, [1, 2], &mut taken).unwrap();
        position.next_request();
        assert_eq!(receive(&mut position, [1, 2], &mut taken), Ok(Accept::AskAgain));
        assert_eq!(position.next_request(), ApiRequest { length: 5, after: 0 });
        receive(&mut position, [1, 2, 3], &mut taken).unwrap();
        // From now on at once.
        assert_eq!(position.next_request(), ApiRequest { length: 5, after: 0 });
        receive(&mut position, 1..=5, &mut taken).unwrap();
        assert_eq!(taken, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn what_is_lost_doubled_or_out_of_order_is_a_protocol_error() {
        for ids in [&[2][..], &[0], &[-1], &[1, 1], &[1, 3], &[1, 2, 1], &[1, 2, 3, 4]] {
            let mut position = Position::new(3);
            position.next_request();
            let fault = receive(&mut position, ids.iter().copied(), &mut vec![]).unwrap_err();
            assert!(matches!(fault, CallError::Protocol { .. }), "{ids:?}");
        }
        // Starting again in the midst of an answer is no original contract.
        let mut position = Position::new(9);
        position.next_request();
        receive(&mut position, [1, 2], &mut vec![]).unwrap();
        position.next_request();
        receive(&mut position, [3], &mut vec![]).unwrap();
        receive(&mut position, [1], &mut vec![]).unwrap_err();
    }

    #[test]
    fn an_end_before_the_last_item_is_a_protocol_error() {
        let mut position = Position::new(3);
        position.next_request();
        receive(&mut position, [1, 2], &mut vec![]).unwrap();
        assert!(matches!(position.end(), Err(CallError::Protocol { .. })));
    }

    #[test]
    fn none_at_all_is_a_good_end_but_needs_the_servers_word() {
        let position = Position::new(0);
        assert!(!position.is_complete());
        position.end().unwrap();
        Position::new(-1).end().unwrap();
    }

    #[test]
    fn the_largest_id_there_is_can_be_the_last() {
        let mut position = Position { last: i32::MAX - 1, ..Position::new(i32::MAX) };
        assert_eq!(position.next_request(), ApiRequest { length: 1, after: i32::MAX - 1 });
        assert_eq!(position.take(i32::MAX), Ok(Accept::Deliver));
        assert!(position.is_complete());
        assert!(position.take(i32::MIN).is_err(), "no id wraps around");
    }

    proptest! {
        /// Wherever answers are cut, whichever server gives them, of our contract or the original.
        #[test]
        fn whatever_is_cut_the_items_come_once_and_in_order(
            length in 0..200_i32,
            answers in prop::collection::vec((any::<bool>(), 0..100_usize), 0..20),
        ) {
            let (mut position, mut taken) = (Position::new(length), vec![]);
            let uncut = [(true, usize::MAX), (true, usize::MAX)];
            for (knows_after, cut) in answers.into_iter().chain(uncut) {
                let ApiRequest { length, after } = position.next_request();
                let after = if knows_after { after } else { 0 };
                receive(&mut position, (after + 1..=after + length).take(cut), &mut taken).unwrap();
            }
            prop_assert_eq!(taken, (1..=length).collect::<Vec<_>>());
            position.end().unwrap();
        }
    }
}
