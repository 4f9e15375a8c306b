//! A client that cancels its calls as fast as it can, in front of a backend that cannot break them off:
//! Go's `net/http` closes a connection on which a thousand cancelled calls wait for their turn.

use std::net::SocketAddr;

use http::{Request, header};
use runnel::config::{BackendConfig, ServeConfig};
use runnel_protos::api::ApiRequest;
use runnel_tests::{
    go::{self, Transport},
    http2::{self, Http2, flag, kind},
    metrics::Metrics,
    server::TestServer,
    wire::{self, frame},
};
use tokio::net::TcpSocket;
use tonic::Code;

/// Calls that the client begins, and how many of them it has open.
const CALLS: u32 = 3000;
const OPEN: u32 = 20;

/// A call from another address than 127.0.0.1.
async fn somebody_elses_call(address: SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
    let stream = socket.connect(address).await.unwrap();
    let request = Request::post("/api.Api/getAll")
        .header(header::CONTENT_TYPE, "application/grpc-web")
        .body(frame(&ApiRequest { length: 1, after: 0 }).into())
        .unwrap();
    let answer = wire::answer(wire::http1_over(stream, address, request).await).await;
    assert_eq!(answer.code(), Some(Code::Ok), "{}", answer.message());
}

#[tokio::test]
async fn a_client_that_cancels_thousands_of_calls_does_not_have_a_backend_close_the_connection() {
    let backend = go::serve(Transport::NetHttp, &[]).await;
    let urls = vec![backend.url().parse().unwrap()];
    let config = BackendConfig { backend: urls, ..BackendConfig::default() };
    let front = TestServer::start_with(ServeConfig { backend: config, ..ServeConfig::default() });
    let front = front.await;
    somebody_elses_call(front.address()).await;

    let mut http2 = Http2::connect(front.address(), &[]).await;
    let slow = [http2::call_headers("/test.Http/Slow"), http2::headers(&[("x-slow", "2s")])];
    let (slow, message) = (slow.concat(), frame(&ApiRequest::default()));
    for call in 0..CALLS {
        let stream = 2 * call + 1;
        let head = http2::frame(kind::HEADERS, flag::END_HEADERS, stream, &slow);
        let body = http2::frame(kind::DATA, flag::END_STREAM, stream, &message);
        http2.send(&[head, body].concat()).await.unwrap();
        if call >= OPEN {
            let oldest = stream - 2 * OPEN;
            let cancel = http2::frame(kind::RST_STREAM, flag::NONE, oldest, &[0, 0, 0, 8]);
            http2.send(&cancel).await.unwrap();
        }
        // So that each is looked at before it is cancelled: what is not, ends the connection.
        if call % (OPEN / 2) == 0 {
            http2.send(&http2::frame(kind::PING, flag::NONE, 0, &[7; 8])).await.unwrap();
            while http2.until(kind::PING).await.expect("the connection goes on").payload != [7; 8] {
            }
        }
        if call % 500 == 0 {
            somebody_elses_call(front.address()).await;
        }
    }
    somebody_elses_call(front.address()).await;
    let metrics = Metrics::read(front.admin_address()).await;
    // Nobody was told to go, the client that cancelled included.
    assert_eq!(metrics.sum("runnel_backend_failures_total", &["gone_away"]), 0);
    assert_eq!(metrics.sum("runnel_backend_failures_total", &["reset"]), 0);
    front.stop().await;
}
