//! The browser of the tests: Chromium and what drives it, found or installed.

pub(crate) mod others;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::{
    debian,
    workspace::{Workspace, given, which},
};

/// Names under which Chromium and its siblings are installed.
const CHROMIUM: [&str; 5] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
/// Where macOS keeps it instead.
const CHROME_APP: &str = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";

/// Both programs that drive the page.
pub(crate) struct Browser {
    /// Chromium or Chrome.
    pub(crate) chromium: PathBuf,
    /// The chromedriver of the same release.
    pub(crate) chromedriver: PathBuf,
}

impl Browser {
    /// The one on this machine; on Debian, as root, the one just installed.
    pub(crate) fn ensure(workspace: &Workspace) -> Result<Self> {
        if let Ok(browser) = Self::find() {
            return Ok(browser);
        }
        if debian::can_install(&workspace.shell) {
            // A bare machine has no font at all, and a page without one has no layout to test.
            let packages = ["chromium", "chromium-driver", "fonts-liberation"];
            debian::install(&workspace.shell, &packages)?;
        }
        Self::find()
    }

    fn find() -> Result<Self> {
        let chromium = given("RUNNEL_CHROMIUM")
            .or_else(|| CHROMIUM.iter().find_map(|name| which(name)))
            .or_else(|| Some(PathBuf::from(CHROME_APP)).filter(|path| path.is_file()));
        let chromedriver = given("RUNNEL_CHROMEDRIVER").or_else(|| which("chromedriver"));
        match (chromium, chromedriver) {
            (Some(chromium), Some(chromedriver)) => Ok(Self { chromium, chromedriver }),
            (chromium, chromedriver) => bail!(
                "the browser tests need {}.\n{}",
                match (&chromium, &chromedriver) {
                    (None, None) => "Chromium and chromedriver; neither is on PATH",
                    (None, _) => "Chromium (or Chrome); it is not on PATH",
                    _ => "chromedriver, of the same release as the browser; it is not on PATH",
                },
                advice()
            ),
        }
    }
}

fn advice() -> &'static str {
    let other = "install both, or name them in RUNNEL_CHROMIUM and RUNNEL_CHROMEDRIVER";
    if cfg!(target_os = "macos") {
        "  brew install --cask google-chrome && brew install chromedriver"
    } else if Path::new("/etc/debian_version").exists() {
        "  Debian:  sudo apt-get install chromium chromium-driver\n  \
           Ubuntu:  Chrome and chromedriver from Google (its chromium is a snap, which cannot be \
         driven),\n           named in RUNNEL_CHROMIUM and RUNNEL_CHROMEDRIVER"
    } else if Path::new("/etc/fedora-release").exists() {
        "  sudo dnf install chromium chromedriver"
    } else if Path::new("/etc/arch-release").exists() {
        "  sudo pacman -S chromium"
    } else {
        other
    }
}
