//! Connections: accepting them, bounding what each may cost, and draining.

use std::{future::Future, io, net::SocketAddr, time::Duration};

use axum::Router;
use axum_server::{Handle, Server, accept::NoDelayAcceptor};
use hyper_util::rt::TokioTimer;
use tokio::{net::TcpListener, time::timeout};

use crate::config::ServeConfig;

/// How much of an answer a connection buffers, in bytes, beyond the chunk it takes last. A reader that
/// stops reading costs about this much and some 20 KiB (hyper's own default is 408 KiB for HTTP/1.1,
/// 400 KiB a stream for HTTP/2). For HTTP/1.1 it is the largest head of a request, too.
const SEND_BUFFER_BYTES: usize = 24 * 1024;

/// HTTP/2 streams a client may have open on one connection; what browsers and gRPC clients expect.
const MAX_CONCURRENT_STREAMS: u32 = 200;

/// The largest list of headers a request may have, in bytes, as RFC 9113 section 6.5.2 counts them.
/// A larger one is answered 431.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;

/// An HTTP/2 peer is asked for a sign of life this often, and given up when none comes in time.
const KEEPALIVE_INTERVAL: Duration = Duration::from_mins(1);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the last words of ended calls may take to reach their clients.
const LAST_WORDS_DEADLINE: Duration = Duration::from_secs(1);

/// Serves `app` on `listener` until `drain` resolves. From then on it accepts nothing more, and asks
/// clients to call elsewhere: GOAWAY over HTTP/2 (RFC 9113 section 6.8), `connection: close` over
/// HTTP/1.1. What is open at the drain deadline is ended by `end_calls`; whoever does not read that in
/// time is cut off, so that nobody holds up the end.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    config: &ServeConfig,
    drain: impl Future<Output = ()>,
    end_calls: impl FnOnce(),
) -> io::Result<()> {
    let handle = Handle::new();
    // Without TCP_NODELAY the end of a fast stream waits some 40 ms for the reader's delayed ACK.
    let mut server = Server::<SocketAddr>::from_listener(listener)
        .acceptor(NoDelayAcceptor::new())
        .handle(handle.clone());

    let http = server.http_builder();
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(SEND_BUFFER_BYTES);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);

    let served = server.serve(app.into_make_service_with_connect_info::<SocketAddr>());
    tokio::pin!(served);
    tokio::select! {
        ended = &mut served => return ended,
        () = drain => handle.graceful_shutdown(None),
    }
    if let Ok(ended) = timeout(config.drain_deadline, &mut served).await {
        return ended;
    }
    end_calls();
    if let Ok(ended) = timeout(LAST_WORDS_DEADLINE, &mut served).await {
        return ended;
    }
    handle.shutdown();
    served.await
}
