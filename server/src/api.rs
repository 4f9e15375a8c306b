//! The wire adapter: the three RPCs of `protos/api.proto` in terms of [`crate::items`]. This is where
//! the domain's errors become statuses, and nowhere else.

use std::ops::Range;

use futures_util::stream;
use runnel_limits::{
    WriteSize,
    client::client_address,
    quota::{FREE_BYTES, Quota},
};
use runnel_protos::api::{ApiRequest, Hello, HelloRequest, Item, Items, api_server};
use runnel_rpc::{RawBody, Reserved, try_again_later};
use runnel_wire::varint_bytes;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    item_frames::ItemFrames,
    items::{ItemRange, ItemRangeError, greeting},
};

/// How large a stream's pieces are where the server below does not say what is best, in bytes: a frame of HTTP/2.
const WRITE_SIZE: WriteSize = WriteSize(16 * 1024);

/// Answers the three RPCs ourselves: each answer is made from its request.
#[derive(Clone, Debug)]
pub struct Api {
    /// The largest message of an answer, in bytes. What would be larger is refused before it is made.
    pub answer_limit_bytes: usize,
    /// Where there must be room for a large answer before it is made; None for no bound.
    pub quota: Option<Quota>,
}

impl Api {
    /// Waits until there is room for an answer of this size to this request.
    async fn room<T>(
        &self,
        request: &Request<T>,
        answer_bytes: usize,
    ) -> Result<Option<Reserved>, Status> {
        let Some(quota) = self.quota.as_ref().filter(|_| answer_bytes > FREE_BYTES) else {
            return Ok(None);
        };
        let client = client_address(request.extensions());
        let mut room = quota.holding(client);
        room.hold(answer_bytes).await.map_err(|full| try_again_later(&full))?;
        Ok(Some(Reserved::new(room)))
    }
}

#[tonic::async_trait]
impl api_server::Api for Api {
    async fn say_hello(&self, request: Request<HelloRequest>) -> Result<Response<Hello>, Status> {
        let HelloRequest { name } = request.into_inner();
        let answer_bytes = field_bytes(name.len() as u64 + "Hello !".len() as u64);
        let limit_bytes = self.answer_limit_bytes;
        if answer_bytes > limit_bytes as u64 {
            return Err(Status::resource_exhausted(format!(
                "the greeting would take {answer_bytes} bytes; a message may have {limit_bytes}"
            )));
        }
        Ok(Response::new(Hello { message: greeting(&name) }))
    }

    async fn get_all(&self, request: Request<ApiRequest>) -> Result<Response<Items>, Status> {
        let range = item_range(*request.get_ref())?;
        // Refused before anything is allocated: a small request must not cost a large answer.
        let answer_bytes = items_bytes(&range);
        let limit_bytes = self.answer_limit_bytes;
        if answer_bytes > limit_bytes as u64 {
            return Err(Status::resource_exhausted(format!(
                "{} items take {answer_bytes} bytes; a message may have {limit_bytes}: use \
                 getStream, or ask for pages with length and after",
                range.len()
            )));
        }
        let room = self.room(&request, usize::try_from(answer_bytes).unwrap_or(usize::MAX)).await?;
        let mut response = Response::new(Items { items: range.map(item).collect() });
        if let Some(room) = room {
            response.extensions_mut().insert(room);
        }
        Ok(response)
    }

    // Always empty: the items are in the answer's raw body.
    type getStreamStream = stream::Empty<Result<Item, Status>>;

    async fn get_stream(
        &self,
        request: Request<ApiRequest>,
    ) -> Result<Response<Self::getStreamStream>, Status> {
        let range = item_range(*request.get_ref())?;
        let write_size = request.extensions().get().copied().unwrap_or(WRITE_SIZE);
        let mut response = Response::new(stream::empty());
        response.extensions_mut().insert(RawBody::new(ItemFrames::new(&range, write_size)));
        Ok(response)
    }
}

fn item((id, name): (i32, String)) -> Item {
    Item { id, name }
}

fn item_range(request: ApiRequest) -> Result<ItemRange, Status> {
    ItemRange::new(request.length, request.after).map_err(invalid_argument)
}

fn invalid_argument(error: ItemRangeError) -> Status {
    let message = error.to_string();
    let details = ErrorDetails::with_bad_request_violation(error.field(), &message);
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// The encoded size of `Items` with the items of a range, in bytes, without making them.
///
/// Ids with equally many digits and equally many varint bytes have items of one size, so it takes a
/// multiplication for each such run: 14 at most.
fn items_bytes(range: &ItemRange) -> u64 {
    let Range { mut start, end } = range.ids();
    let mut bytes = 0;
    while start < end {
        let id = start.unsigned_abs();
        let next_digit = 10_u64.pow(id.ilog10() + 1);
        let next_varint = 1_u64 << (7 * varint_bytes(id));
        let run_end = next_digit.min(next_varint).min(end.unsigned_abs());
        bytes += (run_end - id) * field_bytes(item_bytes(id));
        start = run_end.cast_signed();
    }
    bytes
}

/// The encoded size of item `id`, in bytes; `id` is 1 or more.
fn item_bytes(id: u64) -> u64 {
    let name_bytes = "name ".len() as u64 + u64::from(id.ilog10()) + 1;
    let id_bytes = 1 + u64::from(varint_bytes(id));
    id_bytes + field_bytes(name_bytes)
}

/// A length-delimited field with a number below 16: tag, length, payload.
fn field_bytes(payload_bytes: u64) -> u64 {
    1 + u64::from(varint_bytes(payload_bytes)) + payload_bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;
    use runnel_protos::api::api_server::Api as _;
    use runnel_wire::DEFAULT_MESSAGE_LIMIT_BYTES;

    use super::*;

    const API: Api = Api { answer_limit_bytes: DEFAULT_MESSAGE_LIMIT_BYTES, quota: None };

    fn range(length: i32, after: i32) -> ItemRange {
        ItemRange::new(length, after).unwrap()
    }

    fn encoded(range: ItemRange) -> u64 {
        Items { items: range.map(item).collect() }.encoded_len() as u64
    }

    proptest! {
        #[test]
        fn the_size_of_an_answer_is_known_before_it_is_made(length in 0..2_000_i32, after: u32) {
            let after = i32::try_from(after / 2).unwrap().min(i32::MAX - 2_000);
            prop_assert_eq!(items_bytes(&range(length, after)), encoded(range(length, after)));
        }
    }

    #[test]
    fn the_size_is_right_across_every_change_of_width() {
        for edge in [1, 9, 10, 99, 127, 128, 999, 9_999, 16_383, 16_384, 99_999, 2_097_151] {
            let around = || range(5, edge - 1);
            assert_eq!(items_bytes(&around()), encoded(around()), "at {edge}");
        }
        assert_eq!(items_bytes(&range(0, 0)), 0);
        assert_eq!(items_bytes(&range(300_000, 0)), encoded(range(300_000, 0)));
    }

    #[test]
    fn the_size_of_every_item_there_is_is_found_at_once() {
        assert!(items_bytes(&range(i32::MAX, 0)) > u64::from(u32::MAX));
    }

    #[tokio::test]
    async fn get_all_answers_up_to_the_message_limit_and_not_past_it() {
        let passes =
            |length: &i32| items_bytes(&range(*length, 0)) > DEFAULT_MESSAGE_LIMIT_BYTES as u64;
        let too_many = (1..i32::MAX).find(passes).unwrap();
        let get_all = |length| API.get_all(Request::new(ApiRequest { length, after: 0 }));

        let fits = get_all(too_many - 1).await.unwrap().into_inner();
        assert!(fits.encoded_len() <= DEFAULT_MESSAGE_LIMIT_BYTES);

        let refused = get_all(too_many).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(refused.message().contains("getStream"), "{}", refused.message());
    }

    #[tokio::test]
    async fn a_greeting_that_no_client_could_receive_is_refused() {
        let hello = |bytes| API.say_hello(Request::new(HelloRequest { name: "x".repeat(bytes) }));
        // Tag, a length of four bytes, "Hello " and "!": 12 bytes beside the name.
        let fits = hello(DEFAULT_MESSAGE_LIMIT_BYTES - 12).await.unwrap().into_inner();
        assert_eq!(fits.encoded_len(), DEFAULT_MESSAGE_LIMIT_BYTES);
        let refused = hello(DEFAULT_MESSAGE_LIMIT_BYTES - 11).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
    }

    #[tokio::test]
    async fn a_bad_range_names_the_field() {
        let request = Request::new(ApiRequest { length: -1, after: 0 });
        let refused = API.get_all(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let violation = &refused.get_details_bad_request().unwrap().field_violations[0];
        assert_eq!(violation.field, "length");
        assert_eq!(violation.description, "length must be 0 or more, not -1");
    }
}
