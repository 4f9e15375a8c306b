//! The proxy of the tests: nginx, found or installed.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::{
    debian,
    workspace::{Workspace, given, which},
};

/// Where Debian has it, which only root has on PATH.
const DEBIANS: &str = "/usr/sbin/nginx";

/// The one on this machine; on Debian, as root, the one just installed.
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(nginx) = find() {
        return Ok(nginx);
    }
    if debian::can_install(&workspace.shell) {
        debian::install(&workspace.shell, &["nginx-light"])?;
    }
    find().context(
        "the test of a rolling restart needs nginx, which is not on PATH.\n  \
         Install it, or name it in RUNNEL_NGINX.",
    )
}

fn find() -> Option<PathBuf> {
    let debians = Some(PathBuf::from(DEBIANS)).filter(|path| path.is_file());
    given("RUNNEL_NGINX").or_else(|| which("nginx")).or(debians)
}
