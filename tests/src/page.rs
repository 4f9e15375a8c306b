//! The page of the release binary in a real browser, twice: in the clear, where browsers speak HTTP/1.1,
//! and over TLS, where they speak HTTP/2.

use crate::{
    binary::Binary,
    browser::{Browser, in_browser},
    tls::{Authority, Files},
};

/// Runs `test` in a browser of its own for each, before a server with these arguments. Whatever the
/// console has got in the end fails it: an error, or something that the page's policy forbids. A test
/// that expects some takes it out.
pub async fn in_the_clear_and_over_tls<F, T>(args: &[&str], test: F)
where
    F: Fn(Browser, Binary) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    let files = Files::new(&Authority::new().issue());
    for tls in [vec![], files.args()] {
        let args: Vec<_> = args.iter().copied().chain(tls.iter().map(String::as_str)).collect();
        let binary = Binary::start(&args).await;
        eprintln!("the page at {}", binary.url());
        in_browser(|page: Browser| {
            let tested = test(page.clone(), binary);
            async move {
                tested.await;
                assert_eq!(page.console().await, Vec::<String>::new());
            }
        })
        .await;
    }
}
