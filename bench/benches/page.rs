//! How long the page takes for a million rows, beside what the browser alone takes for their bytes.
//! `cargo xtask bench page` builds what is measured and starts this.

#![expect(clippy::expect_used, reason = "a panic is how it ends early")]

use std::path::PathBuf;

use clap::Parser;
use runnel_bench::report::{Row, Table};
use runnel_tests::{
    binary::Binary,
    browser::{Browser, in_browser},
};
use serde_json::json;

const ITEMS: u32 = 1_000_000;

/// Asks for the items by `fetch`, as the page does, and throws the bytes away; milliseconds.
const RAW: &str = "
    const [items, done] = arguments;
    (async () => {
        const body = new Uint8Array([0, 0, 0, 0, 0, 8]);
        const varint = [];
        for (let rest = items; rest > 0; rest >>>= 7) varint.push(rest & 127 | (rest > 127) << 7);
        body[4] = 1 + varint.length;
        const headers = { 'content-type': 'application/grpc-web+proto', 'x-grpc-web': '1' };
        const began = performance.now();
        const answer = await fetch('/api.Api/getStream', {
            method: 'POST', headers, body: new Uint8Array([...body, ...varint]),
        });
        const reader = answer.body.getReader();
        while (!(await reader.read()).done);
        done(performance.now() - began);
    })();
";

/// Has the page stream the items; milliseconds from the click until it says that it has them all.
const PAGE: &str = "
    const [items, done] = arguments;
    const panel = document.querySelector('.panel-stream');
    const part = id => panel.querySelector(`[data-testid=${id}]`);
    const length = part('stream-length');
    length.value = items;
    length.dispatchEvent(new Event('input', { bubbles: true }));
    setTimeout(() => {
        const began = performance.now();
        const observer = new MutationObserver(() => {
            if (panel.dataset.state !== 'finished') return;
            observer.disconnect();
            const all = part('stream-count').dataset.count === String(items);
            done(all ? performance.now() - began : null);
        });
        observer.observe(panel, { attributes: true, attributeFilter: ['data-state'] });
        part('stream-start').click();
    });
";

/// Kilobytes of the WASM, as it is and as it comes over the wire.
const SIZE: &str = "performance.getEntriesByType('resource')
    .filter(entry => new URL(entry.name).pathname.endsWith('.wasm'))
    .flatMap(entry => [entry.decodedBodySize / 1000, entry.encodedBodySize / 1000])";

#[derive(Parser)]
struct Cli {
    /// The server's binary, page embedded.
    #[arg(long, value_name = "PATH")]
    runnel: PathBuf,
    /// Another, to which the ratios are; an older one, say.
    #[arg(long, value_name = "PATH")]
    beside: Option<PathBuf>,
    #[arg(long, value_name = "N", default_value_t = 15)]
    rounds: u32,
    /// That cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() {
    let cli = Cli::parse();
    let beside = cli.beside.map(|program| ("beside", program));
    let mut pages = Vec::new();
    for (name, program) in beside.into_iter().chain([("runnel", cli.runnel)]) {
        let server = Binary::start_program(&program, &[]).await;
        pages.push((Row::new(name), server));
    }
    in_browser(async move |page: Browser| {
        for _ in 0..cli.rounds {
            for (row, server) in &mut pages {
                row.rounds.push(measure(&page, &server.url()).await);
            }
        }
        let table = Table {
            title: format!("The page in Chromium: {ITEMS} items of getStream"),
            measures: vec![
                ("bytes alone, ms", 0),
                ("first time, ms", 0),
                ("again, ms", 0),
                ("WASM, kB", 0),
                ("as sent, kB", 0),
            ],
            rows: pages.into_iter().map(|(row, _)| row).collect(),
        };
        println!("{table}");
    })
    .await;
}

/// One page load's worth. The first time the browser still compiles; of three more the median counts.
async fn measure(page: &Browser, url: &str) -> Vec<f64> {
    page.open(url).await;
    page.until("document.querySelector('.panel-stream')?.dataset.state === 'finished'").await;
    let run = async |script| {
        let ms = page.run(script, vec![json!(ITEMS)]).await.expect("a run");
        ms.as_f64().expect("every item")
    };
    let (raw, first) = (run(RAW).await, run(PAGE).await);
    let mut again = [run(PAGE).await, run(PAGE).await, run(PAGE).await];
    again.sort_by(f64::total_cmp);
    let sizes: Vec<f64> = serde_json::from_value(page.eval(SIZE).await).expect("sizes");
    [raw, first, again[1]].into_iter().chain(sizes).collect()
}
