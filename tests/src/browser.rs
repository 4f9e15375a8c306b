//! A real browser: headless Chromium through chromedriver, or one of the [`others`].
//!
//! What a page shows is waited for inside the page, frame by frame, so nothing here sleeps or polls.

pub mod others;

use std::{collections::BTreeSet, process::Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{
    By, CapabilitiesHelper as _, ChromeCapabilities, ChromiumLikeCapabilities as _,
    DesiredCapabilities, WebDriver, WebElement, WindowHandle, common::log::LoggingPrefsLogLevel,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::{PATIENCE, patiently, program};

/// The names under which it is installed.
const CHROMIUM: [&str; 5] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

/// A browser window of the test's own.
#[derive(Clone, Debug)]
pub struct Browser {
    driver: WebDriver,
}

/// Starts a browser, runs `test` in it and closes it, also when the test fails.
pub async fn in_browser<F, T>(test: F)
where
    F: FnOnce(Browser) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    let (port, _chromedriver) = start_chromedriver().await;
    let profile = TempDir::new().expect("a temporary folder");
    let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities(&profile))
        .await
        .expect("start Chromium");
    run_in(driver, test).await;
}

/// Runs `test` in a browser that has started, and closes it.
async fn run_in<F, T>(driver: WebDriver, test: F)
where
    F: FnOnce(Browser) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    driver.set_script_timeout(PATIENCE).await.expect("set the script timeout");
    let outcome = tokio::spawn(test(Browser { driver: driver.clone() })).await;
    driver.quit().await.expect("close the browser");
    if let Err(failure) = outcome {
        std::panic::resume_unwind(failure.into_panic());
    }
}

async fn start_chromedriver() -> (u16, Child) {
    let mut chromedriver = Command::new(program("RUNNEL_CHROMEDRIVER", &["chromedriver"]))
        .arg("--port=0")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("start chromedriver");
    let mut lines = BufReader::new(chromedriver.stdout.take().expect("stdout is piped")).lines();
    let port = patiently("chromedriver's port", async {
        loop {
            let line = lines.next_line().await.expect("a readable stdout");
            let line = line.expect("chromedriver says its port");
            if let Some(port) = line.split("started successfully on port ").nth(1) {
                return port.trim_end_matches('.').parse().expect("a port");
            }
        }
    });
    (port.await, chromedriver)
}

fn capabilities(profile: &TempDir) -> ChromeCapabilities {
    let mut capabilities = DesiredCapabilities::chrome();
    let chromium = program("RUNNEL_CHROMIUM", &CHROMIUM);
    let configured =
        capabilities.set_binary(chromium.to_str().expect("a UTF-8 path")).and_then(|()| {
            for argument in [
                "--headless",
                // CI runs as root in a container, where Chromium's sandbox cannot be set up.
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                // Chromium itself must ask nothing of the network, or the test could not tell who did.
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--window-size=1280,900",
                // A name as people have it: in the clear, browsers treat localhost as no other name.
                "--host-resolver-rules=MAP app.example 127.0.0.1",
                &format!("--user-data-dir={}", profile.path().display()),
            ] {
                capabilities.add_arg(argument)?;
            }
            // The certificates of tests come from nobody it knows.
            capabilities.accept_insecure_certs(true)?;
            capabilities.set_logging_prefs("browser", LoggingPrefsLogLevel::All)?;
            capabilities.set_logging_prefs("performance", LoggingPrefsLogLevel::All)
        });
    configured.expect("capabilities are plain JSON");
    capabilities
}

impl Browser {
    /// Opens a page.
    pub async fn open(&self, url: &str) {
        self.driver.goto(url).await.expect("open the page");
    }

    /// The tab at the front.
    pub async fn tab(&self) -> WindowHandle {
        self.driver.window().await.expect("the tab at the front")
    }

    /// Closes the tab at the front, as a person does, and goes to another.
    pub async fn close_tab(&self, other: &WindowHandle) {
        self.driver.close_window().await.expect("close the tab");
        self.to_tab(other).await;
    }

    /// Opens an empty tab, which comes to the front.
    pub async fn open_tab(&self) -> WindowHandle {
        let tab = self.driver.new_tab().await.expect("open a tab");
        self.to_tab(&tab).await;
        tab
    }

    /// Brings a tab to the front.
    pub async fn to_tab(&self, tab: &WindowHandle) {
        self.driver.switch_to_window(tab.clone()).await.expect("go to the tab");
    }

    /// Waits until a JavaScript expression is truthy, looking once a frame, and gives its value.
    pub async fn until(&self, expression: &str) -> Value {
        let look =
            format!("(() => {{ try {{ return {expression}; }} catch {{ return null; }} }})()");
        let script = format!(
            "const done = arguments[arguments.length - 1];
             (function look() {{
                 const value = {look};
                 value ? done(value) : requestAnimationFrame(look);
             }})();"
        );
        loop {
            match self.driver.execute_async(script.as_str(), vec![]).await {
                Ok(value) => return value.json().clone(),
                // The page was reloaded meanwhile; what is awaited may hold in the new one.
                Err(error) if error.to_string().contains("unloaded") => (),
                // A script that began in a page which was just being reloaded is lost without a word.
                Err(_) if self.eval(&format!("Boolean({look})")).await == true => (),
                Err(error) => {
                    let shown = self.eval("document.body.innerText").await;
                    panic!("`{expression}` never held: {error}\nthe page showed: {shown}")
                }
            }
        }
    }

    /// Waits until the element with this test id has a text that holds `text`.
    pub async fn until_text(&self, test_id: &str, text: &str) {
        let text = json!(text);
        self.until(&format!("{}.innerText.includes({text})", element(test_id))).await;
    }

    /// Runs a script that calls its last argument with a value, and gives that. Unlike all else here it
    /// may fail: the page may be what is broken.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Result<Value, String> {
        let ran = self.driver.execute_async(script, arguments).await;
        ran.map(|value| value.json().clone()).map_err(|error| error.to_string())
    }

    /// The value of a JavaScript expression now.
    pub async fn eval(&self, expression: &str) -> Value {
        let script = format!("return {expression};");
        let value = self.driver.execute(script, vec![]).await.expect("evaluate");
        value.json().clone()
    }

    async fn find(&self, test_id: &str) -> WebElement {
        let selector = format!("[data-testid={test_id}]");
        self.driver.find(By::Css(selector)).await.unwrap_or_else(|error| {
            panic!("no element with the test id {test_id}: {error}");
        })
    }

    /// Clicks as a person would: the element must be in view and uncovered.
    pub async fn click(&self, test_id: &str) {
        self.find(test_id).await.click().await.expect("click");
    }

    /// Replaces what a field holds, key by key.
    pub async fn fill(&self, test_id: &str, text: &str) {
        let field = self.find(test_id).await;
        field.clear().await.expect("clear the field");
        field.send_keys(text).await.expect("type");
    }

    /// Runs something while another tab hides this page.
    pub async fn hidden_while<T>(&self, meanwhile: impl Future<Output = T>) -> T {
        let page = self.tab().await;
        self.open_tab().await;
        let outcome = meanwhile.await;
        self.close_tab(&page).await;
        outcome
    }

    /// Tells the page that there is a network, or none. What is open stays open; nothing new leaves.
    pub async fn set_online(&self, online: bool) {
        let conditions = json!({
            "offline": !online, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1,
        });
        self.devtools("Network.enable", json!({})).await;
        self.devtools("Network.emulateNetworkConditions", conditions).await;
    }

    /// Sends a command of the `DevTools` protocol.
    pub async fn devtools(&self, method: &str, parameters: Value) {
        self.driver.cdp().send_raw(method, parameters).await.expect("a DevTools command");
    }

    /// Everything the console got since this was last asked.
    pub async fn console(&self) -> Vec<String> {
        let entries = self.driver.browser_log().await.expect("the browser log");
        entries.into_iter().map(|entry| format!("{} {}", entry.level, entry.message)).collect()
    }

    /// Of which origins anything was requested since this was last asked, but for what Chromium takes
    /// from within itself.
    pub async fn requested_origins(&self) -> BTreeSet<String> {
        let entries = self.driver.get_log("performance").await.expect("the performance log");
        entries
            .iter()
            .filter_map(|entry| {
                let event: Value = serde_json::from_str(&entry.message).ok()?;
                let event = &event["message"];
                let sent = event["method"] == "Network.requestWillBeSent";
                let url = event["params"]["request"]["url"].as_str().filter(|_| sent)?;
                let url: http::Uri = url.parse().ok()?;
                let scheme = url.scheme_str().filter(|scheme| *scheme != "chrome")?;
                Some(format!("{scheme}://{}", url.authority()?))
            })
            .collect()
    }
}

/// A JavaScript expression for the element with a test id.
pub fn element(test_id: &str) -> String {
    format!("document.querySelector('[data-testid={test_id}]')")
}
