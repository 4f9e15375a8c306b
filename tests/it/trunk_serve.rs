//! `trunk serve`, as one works on the page: RPCs through its proxy, and a rebuild for the page's files
//! only. It serves a copy of the sources, which the test may edit.

use std::{fs, net::TcpListener, path::Path, process::Stdio, time::Duration};

use runnel_tests::{
    binary::Binary,
    browser::{Browser, element, in_browser},
    path_from_env,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

/// The first build compiles the page's crates for development.
const BUILD_PATIENCE: Duration = Duration::from_mins(15);

/// What a page is built from, and what cargo wants of the workspace around it.
const SOURCES: [&str; 13] = [
    "Cargo.lock",
    "Cargo.toml",
    "Trunk.toml",
    "index.html",
    "rust-toolchain.toml",
    ".cargo",
    "bench",
    "crates",
    "protos",
    "server",
    "tests",
    "web",
    "xtask",
];

struct Trunk {
    _child: Child,
    output: Lines<BufReader<ChildStdout>>,
    /// Builds begun so far.
    builds: usize,
}

impl Trunk {
    /// Serves `sources` on `port`.
    fn serve(sources: &Path, port: u16) -> Self {
        let target = path_from_env("RUNNEL_BIN");
        let target = target.ancestors().nth(2).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "exec trunk serve --color never --port \"$0\" 2>&1", &port.to_string()])
            .current_dir(sources)
            .env("CARGO_TARGET_DIR", target)
            // Trunk takes its value for a boolean and does not start for NO_COLOR=1.
            .env_remove("NO_COLOR")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { _child: child, output, builds: 0 }
    }

    /// Reads what it says until a line holds `words`.
    async fn says(&mut self, words: &str) {
        let mut said = Vec::new();
        let found = tokio::time::timeout(BUILD_PATIENCE, async {
            while let Some(line) = self.output.next_line().await.unwrap() {
                self.builds += usize::from(line.contains("starting build"));
                let found = line.contains(words);
                said.push(line);
                if found {
                    return true;
                }
            }
            false
        });
        let found = found.await.unwrap_or(false);
        assert!(found, "trunk never said {words:?}, but:\n{}", said.join("\n"));
    }
}

fn copy_of_the_sources() -> TempDir {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let copy = TempDir::new().unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-R")
        .args(SOURCES.map(|source| root.join(source)))
        .arg(copy.path())
        .status();
    assert!(copied.unwrap().success());
    copy
}

fn edit(file: &Path, before: &str, after: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(before), "{} has no {before:?}", file.display());
    fs::write(file, text.replace(before, after)).unwrap();
}

/// A port that was free a moment ago: trunk cannot be asked which one it took.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn the_page_works_through_its_proxy_and_is_rebuilt_when_its_own_files_change() {
    let mut server = Binary::start(&[]).await;
    let sources = copy_of_the_sources();
    edit(&sources.path().join("Trunk.toml"), "http://127.0.0.1:8080", &server.url());
    let port = free_port();
    let mut trunk = Trunk::serve(sources.path(), port);
    trunk.says("server listening").await;

    in_browser(async move |page: Browser| {
        page.open(&format!("http://127.0.0.1:{port}")).await;
        page.until_text("greeting", "Hello Gonzalo!").await;
        page.until_text("all-list", "name 10").await;
        page.until_text("stream-list", "name 5").await;
        server.call_line("getStream").await;

        // The proxy streams, and passes a stop on.
        page.fill("stream-length", "10000000").await;
        page.click("stream-start").await;
        let list = element("stream-list");
        page.until(&format!(
            "{list}.closest('[data-state]').dataset.state === 'streaming'
             && {list}.querySelectorAll('.row').length > 5"
        ))
        .await;
        page.click("stream-stop").await;
        assert_eq!(server.call_line("getStream").await["code"], "CANCELLED");

        // An edit of the server is none of the page's business; an edit of the page is.
        edit(&sources.path().join("server/src/items.rs"), "The domain", "The edited domain");
        let greeting = sources.path().join("web/src/components/greeting.rs");
        edit(&greeting, "title=\"Greeting\"", "title=\"Greeting, edited\"");
        trunk.says("success").await;
        page.until("document.body.innerText.includes('Greeting, edited')").await;
        assert_eq!(trunk.builds, 2, "one at the start, one for the edit of the page");
    })
    .await;
}
