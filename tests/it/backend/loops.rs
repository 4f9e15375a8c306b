//! A `--backend` that leads back to the server itself: RFC 9110, section 7.6.3.

use http::{Request, StatusCode};
use runnel_tests::{
    metrics::Metrics,
    patiently, python,
    wire::{self, PROTOCOLS, Protocol, frame},
};
use tokio::net::TcpListener;
use tonic::Code;

use super::{Answer, Ask, config, front, ready};

const UNARY: &str = "/rich.Rich/Unary";

fn one() -> Vec<u8> {
    frame(&Ask { messages: 1, ..Ask::default() })
}

/// A front whose backend is at the other end of `backend`, on a listener that is known before.
async fn serve(
    listener: TcpListener,
    backend: std::net::SocketAddr,
) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let admin_address = admin.local_addr().unwrap();
    let listeners = runnel::Listeners { public: listener, admin: Some(admin) };
    let config = config(&[&format!("http://{backend}")]);
    let served = tokio::spawn(async move {
        runnel::serve(listeners, config, std::future::pending()).await.unwrap();
    });
    (admin_address, served)
}

async fn is_told_of_the_loop(public: std::net::SocketAddr, admin: std::net::SocketAddr) {
    for protocol in PROTOCOLS {
        let answer = patiently("an answer", wire::call(public, protocol, UNARY, one())).await;
        assert_eq!(answer.code(), Some(Code::Unavailable), "{protocol:?} {answer:?}");
        let words = answer.message().replace("%20", " ");
        assert!(words.contains("--backend"), "{protocol:?} {words}");
    }
    Metrics::read_until(admin, "a health check that failed", |metrics| {
        metrics.sum("runnel_backend_down_total", &[]) > 0
    })
    .await;
    assert_eq!(ready(admin).await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_server_that_is_its_own_backend_refuses_calls_and_is_not_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (admin, served) = serve(listener, address).await;
    is_told_of_the_loop(address, admin).await;
    // Each call went round once.
    let metrics = Metrics::read(admin).await;
    let calls = metrics.sum("runnel_backend_calls_total", &[]);
    let failed = metrics.sum("runnel_backend_failures_total", &[]);
    assert_eq!((calls, failed), (3, 0));
    served.abort();
}

/// Neither trusts what the other, a client like any, says in `via`.
#[tokio::test]
async fn two_servers_that_are_each_others_backend_refuse_calls_and_are_not_ready() {
    let (one, other) = (
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    let (one_address, other_address) = (one.local_addr().unwrap(), other.local_addr().unwrap());
    let (one_admin, one_served) = serve(one, other_address).await;
    let (other_admin, other_served) = serve(other, one_address).await;
    is_told_of_the_loop(one_address, one_admin).await;
    is_told_of_the_loop(other_address, other_admin).await;
    one_served.abort();
    other_served.abort();
}

/// Two in a row are no loop, and who claims to have come by before harms only himself.
#[tokio::test]
async fn a_front_of_a_front_forwards_and_forging_harms_one_call() {
    let rich = python::serve("rich_server.py").await;
    let inner = front(&[&rich.url()]).await;
    let outer = front(&[&inner.url()]).await;
    let answer = wire::call(outer.address(), Protocol::Grpc, UNARY, {
        frame(&Ask { messages: 1, metadata: true, ..Ask::default() })
    })
    .await;
    assert_eq!(answer.code(), Some(Code::Ok), "{answer:?}");
    let [via] = &answer.decode::<Answer>()[0].received("via")[..] else { panic!("one via") };
    let names: Vec<_> = via.split(", ").map(|element| element[4..].to_owned()).collect();
    assert_eq!(names.len(), 2, "{via}");
    assert_ne!(names[0], names[1]);

    for protocol in PROTOCOLS {
        let forged = Request::post(UNARY)
            .header("content-type", protocol.content_type())
            .header("via", format!("2.0 {}", names[0]))
            .body(protocol.encode(one()))
            .unwrap();
        let answer = wire::send(outer.address(), protocol, forged).await;
        assert_eq!(answer.code(), Some(Code::Unavailable), "{protocol:?}");
        let answer = wire::call(outer.address(), protocol, UNARY, one()).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?} {}", answer.message());
    }
    let metrics = Metrics::read(outer.admin_address()).await;
    assert_eq!(metrics.sum("runnel_backend_down_total", &[]), 0);
    outer.stop().await;
    inner.stop().await;
}
