//! A product of one's own: what `cargo xtask new` writes is built, called and looked at, and then changed
//! as `docs/OWN_PRODUCT.md` says.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    time::Duration,
};

use runnel_protos::api::{Hello, HelloRequest};
use runnel_tests::{
    binary::Binary,
    browser::{Browser, in_browser},
    metrics::Metrics,
    path_from_env,
    wire::{self, Protocol, frame},
};
use tokio::process::Command;
use tonic::Code;

/// Most of what is compiled was compiled for Runnel before.
const BUILD_PATIENCE: Duration = Duration::from_mins(30);

const WASM: &str = "wasm32-unknown-unknown";

/// The product in its folder.
struct Product {
    folder: PathBuf,
    target: PathBuf,
}

impl Product {
    /// Has it written. The folder is the same for each run: what was built there is built again only if it
    /// changed.
    async fn write() -> Self {
        let runnel = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut hasher = DefaultHasher::new();
        runnel.hash(&mut hasher);
        let folder = env::temp_dir().join(format!("runnel-product-{:016x}", hasher.finish()));
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        let target = path_from_env("RUNNEL_BIN").ancestors().nth(2).unwrap().to_owned();
        let product = Self { folder: folder.join("shop"), target };
        let arguments = ["xtask", "new", product.folder.to_str().unwrap()];
        product.run_in(runnel, "cargo", &arguments).await;
        product
    }

    /// Runs a program in its folder, which must succeed.
    async fn run(&self, program: &str, arguments: &[&str]) {
        self.run_in(&self.folder, program, arguments).await;
    }

    async fn run_in(&self, folder: &Path, program: &str, arguments: &[&str]) {
        eprintln!("{program} {}", arguments.join(" "));
        let ran = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .env("CARGO_TARGET_DIR", &self.target)
            // Trunk takes its value for a boolean and does not start for NO_COLOR=1.
            .env_remove("NO_COLOR")
            .kill_on_drop(true)
            .output();
        let ran = tokio::time::timeout(BUILD_PATIENCE, ran).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{program} {arguments:?}: {said}");
    }

    /// Starts what was built.
    async fn start(&self, profile: &str) -> Binary {
        Binary::start_program(&self.target.join(profile).join("shop"), &[]).await
    }

    /// Makes the changes in a document, in its order: each block that begins with a file's name is that file
    /// (`rust`), or what changes in it (`diff`).
    fn change(&self, document: &str) -> usize {
        let mut changes = 0;
        for (kind, block) in blocks(document) {
            let (name, rest) = block.split_once('\n').unwrap();
            let file = self.folder.join(name.trim_start_matches("// ").trim());
            match kind {
                "rust" => fs::write(file, rest.trim_start()).unwrap(),
                "diff" => {
                    let text = fs::read_to_string(&file).unwrap();
                    fs::write(
                        file,
                        rest.split("@@\n")
                            .skip(1)
                            .fold(text, |text, change| changed(&text, change)),
                    )
                    .unwrap();
                }
                _ => continue,
            }
            changes += 1;
        }
        changes
    }
}

/// The blocks of code in a document, with what they are said to be.
fn blocks(document: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = document.split("```").skip(1).step_by(2);
    parts.filter_map(|block| block.split_once('\n'))
}

/// A text after a change of some lines in it.
fn changed(text: &str, change: &str) -> String {
    let side = |other: char| -> String {
        let lines = change.lines().filter(|line| !line.starts_with(other));
        lines.flat_map(|line| [line.get(1..).unwrap_or_default(), "\n"]).collect()
    };
    let (before, after) = (side('+'), side('-'));
    assert_eq!(text.matches(&before).count(), 1, "{before:?} in {text}");
    text.replace(&before, &after)
}

async fn greets(server: &Binary, name: &str) -> Option<Code> {
    let request = frame(&HelloRequest { name: name.to_owned() });
    let answer = wire::call(server.address(), Protocol::Grpc, "/shop.v1.Shop/Greet", request).await;
    let greetings = answer.decode::<Hello>();
    assert!(greetings.iter().all(|greeting| greeting.message == format!("Hello {name}!")));
    answer.code()
}

#[tokio::test]
async fn a_product_is_written_built_used_and_changed_as_its_document_says() {
    let product = Product::write().await;
    product.run("trunk", &["build", "--release"]).await;
    product.run("cargo", &["fmt", "--check"]).await;
    product.run("cargo", &["clippy", "--all-targets", "--", "-D", "warnings"]).await;
    let page = ["clippy", "-p", "shop-page", "--target", WASM, "--", "-D", "warnings"];
    product.run("cargo", &page).await;
    // Its own, in a browser.
    product.run("cargo", &["test"]).await;

    product.run("cargo", &["build", "--release"]).await;
    let dist = product.folder.join("dist");
    fs::rename(&dist, product.folder.join("elsewhere")).unwrap();
    let mut server = product.start("release").await;
    assert_eq!(greets(&server, "Ada").await, Some(Code::Ok));
    assert_eq!(greets(&server, "").await, Some(Code::InvalidArgument));
    let admin = server.admin_address().unwrap();
    assert_eq!(Metrics::read(admin).await.sum("shop_greetings_total", &[]), 1);
    let url = server.url();
    in_browser(async move |page: Browser| {
        page.open(&url).await;
        page.until_text("greet", "Greet").await;
        page.click("greet").await;
        page.until_text("greeting", "Hello World!").await;
        page.until("document.querySelectorAll('li').length === 5").await;
        assert_eq!(page.console().await, Vec::<String>::new());
    })
    .await;
    server.signal("TERM").await;
    assert_eq!(server.exit().await.code(), Some(0));

    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/OWN_PRODUCT.md");
    let changes = product.change(&fs::read_to_string(document).unwrap());
    assert_eq!(changes, 8, "the blocks of code in the document");
    product.run("trunk", &["build", "--release"]).await;
    product.run("cargo", &["fmt", "--check"]).await;
    product.run("cargo", &["build"]).await;
    let server = product.start("debug").await;
    assert_eq!(greets(&server, "Ada").await, Some(Code::Unauthenticated));
    in_browser(async move |page: Browser| {
        page.open(&server.url()).await;
        page.until_text("greet", "Greet").await;
        page.fill("name", "Ada").await;
        page.click("greet").await;
        page.until_text("problem", "sign in first").await;
        page.fill("token", "open-sesame").await;
        page.click("sign-in").await;
        page.until_text("greeting", "Hello Ada!").await;
        page.until_text("greeting", "Goodbye Ada!").await;
        page.until_text("problem", "").await;
    })
    .await;
}
