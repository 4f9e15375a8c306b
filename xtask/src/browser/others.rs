//! The browsers beside Chromium that the client can be judged in, found or installed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use super::Browser;
use crate::{
    debian, tools,
    workspace::{Workspace, which},
};

/// A browser, by its engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// Headless Chromium or Chrome.
    Chromium,
    /// Headless Firefox.
    Firefox,
    /// `WebKitGTK`, on a display of its own.
    Webkit,
}

/// What a program needs to drive a browser.
pub(crate) struct Drive {
    /// The programs, under the names of the variables that tests read.
    pub(crate) environment: Vec<(&'static str, PathBuf)>,
    /// What the program is to be started by: nothing, or something with a display.
    pub(crate) wrapper: Vec<PathBuf>,
}

impl Engine {
    /// Finds it; on Debian, as root, installs it.
    pub(crate) fn ensure(self, workspace: &Workspace) -> Result<Drive> {
        if let Ok(drive) = self.find(workspace) {
            return Ok(drive);
        }
        let packages: &[&str] = match self {
            // It looks after itself.
            Self::Chromium => &[],
            Self::Firefox => &["firefox-esr"],
            Self::Webkit => &["webkit2gtk-driver", "xvfb", "xauth"],
        };
        if !packages.is_empty() && debian::can_install(&workspace.shell) {
            debian::install(&workspace.shell, packages)?;
        }
        self.find(workspace)
    }

    fn find(self, workspace: &Workspace) -> Result<Drive> {
        let mut wrapper = Vec::new();
        let environment = match self {
            Self::Chromium => {
                let Browser { chromium, chromedriver } = Browser::ensure(workspace)?;
                vec![("RUNNEL_CHROMIUM", chromium), ("RUNNEL_CHROMEDRIVER", chromedriver)]
            }
            Self::Firefox => {
                let firefox = which("firefox").or_else(|| which("firefox-esr"));
                let firefox =
                    firefox.context("there is no `firefox` and no `firefox-esr` on PATH")?;
                let geckodriver = tools::geckodriver(workspace)?;
                vec![("RUNNEL_FIREFOX", firefox), ("RUNNEL_GECKODRIVER", geckodriver)]
            }
            Self::Webkit => {
                let driver = which("WebKitWebDriver");
                let driver = driver
                    .context("there is no `WebKitWebDriver` on PATH (Debian: webkit2gtk-driver)")?;
                let browser = mini_browser()
                    .context("WebKitGTK's MiniBrowser is not where distributions put it")?;
                let display = which("xvfb-run");
                let display = display.context("there is no `xvfb-run` on PATH (Debian: xvfb)")?;
                wrapper = vec![display, "--auto-servernum".into()];
                vec![("RUNNEL_WEBKITDRIVER", driver), ("RUNNEL_MINIBROWSER", browser)]
            }
        };
        Ok(Drive { environment, wrapper })
    }

    /// Its name on command lines.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Chromium => "chromium",
            Self::Firefox => "firefox",
            Self::Webkit => "webkit",
        }
    }
}

/// The browser that comes with `WebKitGTK` for just this; no PATH has it.
fn mini_browser() -> Option<PathBuf> {
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    // Debian has one folder per architecture in between.
    let mut places = folders(Path::new("/usr/libexec"));
    for place in folders(Path::new("/usr/lib")) {
        places.extend(folders(&place));
    }
    let mut found: Vec<_> = places
        .into_iter()
        .filter(|place| place.to_string_lossy().contains("/webkit"))
        .map(|place| place.join("MiniBrowser"))
        .filter(|file| file.is_file())
        .collect();
    found.sort();
    found.pop()
}
