//! For any interleaving of deadline, drain, cancel, error and end: exactly one status is sent, and every
//! permit returns. Time is the runtime's own, so a schedule of seconds takes none.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use proptest::prelude::*;
use runnel_limits::Limit;
use tokio::time::sleep;
use tonic::{Code, Status, body::Body};
use tower::{Layer as _, ServiceExt as _};

use super::{
    admission::AdmissionLayer,
    deadline::DeadlineLayer,
    drain::{Drain, DrainLayer},
};

/// What a handler does, in milliseconds and in order.
#[derive(Clone, Debug)]
struct Script {
    until_head: u64,
    /// Before each message.
    until_messages: Vec<u64>,
    until_end: u64,
    end: End,
}

#[derive(Clone, Copy, Debug)]
enum End {
    /// A status in the head, and no body.
    Refusal(Code),
    /// A status in the trailers.
    Trailers(Code),
    /// The body breaks off with an error, which tonic turns into a status further out.
    Error,
}

impl Script {
    /// When its status is out, if nothing stops it.
    fn duration(&self) -> u64 {
        match self.end {
            End::Refusal(_) => self.until_head,
            _ => self.until_head + self.until_messages.iter().sum::<u64>() + self.until_end,
        }
    }

    async fn respond(self) -> Response<Body> {
        let after = |milliseconds| sleep(Duration::from_millis(milliseconds));
        after(self.until_head).await;
        if let End::Refusal(code) = self.end {
            return Status::new(code, "refused").into_http();
        }
        let messages = stream::iter(self.until_messages).then(move |pause| async move {
            after(pause).await;
            Ok(Frame::data(Bytes::from_static(b"message")))
        });
        let end = stream::once(async move {
            after(self.until_end).await;
            match self.end {
                End::Trailers(code) => {
                    let mut trailers = HeaderMap::new();
                    Status::new(code, "").add_header(&mut trailers)?;
                    Ok(Frame::trailers(trailers))
                }
                _ => Err(Status::data_loss("broken")),
            }
        });
        Response::new(Body::new(StreamBody::new(messages.chain(end))))
    }
}

/// The codes that were sent, in the head and in the trailers; an error of the body is one too, as it
/// is what the next layer makes a status of.
async fn statuses(response: Response<Body>) -> Vec<Code> {
    let code = |headers: &HeaderMap| {
        headers.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()))
    };
    let mut sent: Vec<_> = code(response.headers()).into_iter().collect();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => sent.extend(frame.trailers_ref().and_then(code)),
            Err(status) => sent.push(status.code()),
        }
    }
    sent
}

fn script() -> impl Strategy<Value = Script> {
    let pause = || 0..50_u64;
    let end = prop_oneof![
        Just(End::Refusal(Code::NotFound)),
        Just(End::Trailers(Code::Ok)),
        Just(End::Trailers(Code::Aborted)),
        Just(End::Error),
    ];
    (pause(), prop::collection::vec(pause(), 0..5), pause(), end).prop_map(
        |(until_head, until_messages, until_end, end)| Script {
            until_head,
            until_messages,
            until_end,
            end,
        },
    )
}

proptest! {
    #[test]
    fn exactly_one_status_is_sent_and_every_permit_returns(
        script in script(),
        deadline in prop::option::of(0..200_u64),
        drain in prop::option::of(0..200_u64),
        cancel in prop::option::of(0..200_u64),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let one = Limit { total: 1, per_address: 1 };
        let admission = AdmissionLayer::new(one, one, 0);
        let (own_end, duration) = (script.end, script.duration());

        let outcome = runtime.block_on(async {
            let handler = tower::service_fn(|_: Request<Body>| {
                let script = script.clone();
                async move { Ok::<_, Infallible>(script.respond().await) }
            });
            let end = Drain::default();
            let drain_layer = DrainLayer::new(end.clone());
            let service = admission.layer(drain_layer.layer(DeadlineLayer::new(None).layer(handler)));
            let mut request = Request::new(Body::empty());
            if let Some(deadline) = deadline {
                let timeout = format!("{deadline}m").parse().unwrap();
                request.headers_mut().insert("grpc-timeout", timeout);
            }
            let call = async { statuses(service.oneshot(request).await.unwrap()).await };
            let at = async |milliseconds: Option<u64>| match milliseconds {
                Some(milliseconds) => sleep(Duration::from_millis(milliseconds)).await,
                None => std::future::pending().await,
            };
            let drained = async {
                at(drain).await;
                end.end_calls();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                sent = call => Some(sent),
                () = at(cancel) => None,
                () = drained => None,
            }
        });

        prop_assert_eq!(admission.open(), 0);
        let Some(sent) = outcome else { return Ok(()) };
        prop_assert_eq!(sent.len(), 1, "{:?}", sent);
        let own = match own_end {
            End::Refusal(code) | End::Trailers(code) => code,
            End::Error => Code::DataLoss,
        };
        // What comes first ends it; what comes in the same millisecond may.
        let ends = [
            (Some(duration), own),
            (deadline, Code::DeadlineExceeded),
            (drain, Code::Unavailable),
        ];
        let first = ends.iter().filter_map(|(at, _)| *at).min();
        prop_assert!(ends.contains(&(first, sent[0])), "{:?}, not of {:?}", sent[0], ends);
    }
}
