//! The program `conformance-client`: reads cases on standard input, has each run by a page in a real
//! browser, and writes what came of it. It ends when there are no more.
//!
//! `CONFORMANCE_PAGE` names the folder of the page, as wasm-bindgen wrote it. The program's argument, if
//! any, is the browser: `chromium`, `firefox` or `webkit`.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, Result, bail};
use axum::{Router, http::header, routing::get};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost::Message as _;
use runnel_tests::browser::{
    Browser, in_browser,
    others::{in_firefox, in_webkit},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};

use crate::{
    framing,
    proto::{
        ClientCompatRequest, ClientCompatResponse, ClientErrorResult,
        client_compat_response::Result as CaseResult,
    },
};

/// Loads the page, which then runs cases (see `page.rs`).
const INDEX: &str = "<!doctype html><meta charset=utf-8><title>conformance-client</title>\
    <script type=module>import start from './conformance-page.js'; await start();</script>";
/// Whether it can.
const READY: &str = "window.runCase";
/// Has it run one.
const RUN: &str = "const [request, done] = arguments;
    window.runCase(request).then(done, error => done({ error: String(error) }));";

/// Runs cases until there are no more.
pub async fn run() -> Result<()> {
    let folder = env::var_os("CONFORMANCE_PAGE").map(PathBuf::from).context(
        "CONFORMANCE_PAGE is not set: `cargo xtask conformance client` builds the page and sets it",
    )?;
    let url = serve(&folder).await?;
    let (sender, mut requests) = mpsc::unbounded_channel::<ClientCompatRequest>();
    // Reading standard input blocks, and has no end but its own.
    let reading = thread::spawn(move || -> io::Result<()> {
        while let Some(request) = framing::read(io::stdin().lock())? {
            if sender.send(request).is_err() {
                break;
            }
        }
        Ok(())
    });
    let (outcome, written) = tokio::sync::oneshot::channel();
    let cases = async move |page: Browser| {
        page.open(&url).await;
        page.until(READY).await;
        let mut written = Ok(());
        while let Some(request) = requests.recv().await {
            let response = answer(&page, &url, &request).await;
            written = framing::write(io::stdout().lock(), &response);
            if written.is_err() {
                break;
            }
        }
        // An Err would say that nobody waits for it.
        let _ = outcome.send(written);
    };
    match env::args().nth(1).as_deref() {
        None | Some("chromium") => in_browser(cases).await,
        Some("firefox") => in_firefox(cases).await,
        Some("webkit") => in_webkit(cases).await,
        Some(other) => bail!("no browser is called {other}"),
    }
    written.await??;
    reading.join().map_err(|_| anyhow::anyhow!("reading panicked"))??;
    Ok(())
}

/// What came of a case.
async fn answer(page: &Browser, url: &str, request: &ClientCompatRequest) -> ClientCompatResponse {
    let argument = json!(STANDARD.encode(request.encode_to_vec()));
    let outcome = page.run(RUN, vec![argument]).await.and_then(|value| decode(&value));
    match outcome {
        Ok(response) => response,
        Err(error) => {
            // A panic in the page is the end of it: the next case wants another.
            page.open(url).await;
            page.until(READY).await;
            let message = format!("the page did not run it: {error}");
            ClientCompatResponse {
                test_name: request.test_name.clone(),
                result: Some(CaseResult::Error(ClientErrorResult { message })),
            }
        }
    }
}

fn decode(value: &Value) -> Result<ClientCompatResponse, String> {
    let text = value.as_str().ok_or_else(|| value.to_string())?;
    let bytes = STANDARD.decode(text).map_err(|error| error.to_string())?;
    ClientCompatResponse::decode(bytes.as_slice()).map_err(|error| error.to_string())
}

/// Serves the page for as long as this process lives; its address.
async fn serve(folder: &Path) -> Result<String> {
    let read = |name: &str| {
        let file = folder.join(name);
        fs::read(&file).with_context(|| format!("cannot read {}", file.display()))
    };
    let (script, wasm) = (read("conformance-page.js")?, read("conformance-page_bg.wasm")?);
    let file = |content_type: &'static str, content: Vec<u8>| {
        get(move || async move { ([(header::CONTENT_TYPE, content_type)], content) })
    };
    let router = Router::new()
        .route("/", file("text/html", INDEX.into()))
        .route("/conformance-page.js", file("text/javascript", script))
        .route("/conformance-page_bg.wasm", file("application/wasm", wasm));
    let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen")?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}
