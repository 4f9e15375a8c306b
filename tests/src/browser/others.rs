//! Browsers other than Chromium, for what must hold in any: Firefox and `WebKitGTK`.

use std::{net::TcpListener, process::Stdio, time::Duration};

use serde_json::json;
use thirtyfour::{Capabilities, WebDriver};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use super::{Browser, run_in};
use crate::{path_from_env, patiently};

/// Between two looks whether a driver listens. Neither of these says so.
const LOOK: Duration = Duration::from_millis(20);

/// Starts Firefox without a window, runs `test` in it and closes it, also when the test fails.
pub async fn in_firefox<F, T>(test: F)
where
    F: FnOnce(Browser) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    let firefox = path_from_env("RUNNEL_FIREFOX");
    let options = json!({ "binary": firefox, "args": ["-headless"] });
    in_any("RUNNEL_GECKODRIVER", "firefox", ("moz:firefoxOptions", options), test).await;
}

/// The same with `WebKitGTK`, which needs a display to show its window on.
pub async fn in_webkit<F, T>(test: F)
where
    F: FnOnce(Browser) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    let browser = path_from_env("RUNNEL_MINIBROWSER");
    let options = json!({ "binary": browser, "args": ["--automation"] });
    in_any("RUNNEL_WEBKITDRIVER", "MiniBrowser", ("webkitgtk:browserOptions", options), test).await;
}

/// The browser of this name, through the driver that a variable names.
async fn in_any<F, T>(driver: &str, name: &str, options: (&str, serde_json::Value), test: F)
where
    F: FnOnce(Browser) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    let mut capabilities = Capabilities::new();
    capabilities.set("browserName", name).expect("plain JSON");
    capabilities.set(options.0, options.1).expect("plain JSON");
    let (port, _driver) = start(driver).await;
    let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities).await;
    run_in(driver.expect("start the browser"), test).await;
}

/// A driver that listens, and where.
async fn start(variable: &str) -> (u16, Child) {
    // They cannot be asked which port they took: this one was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let driver = Command::new(path_from_env(variable))
        .arg(format!("--port={port}"))
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("start the driver");
    patiently("the driver's listening", async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(LOOK).await;
        }
    })
    .await;
    (port, driver)
}
