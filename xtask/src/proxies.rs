//! The proxies that the tests put in front of a server, found or installed.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::{
    debian,
    workspace::{Workspace, given, which},
};

/// One of them.
struct Proxy {
    program: &'static str,
    /// What names it in the environment, for us and for the tests.
    variable: &'static str,
    /// What brings it on Debian.
    package: &'static str,
}

const PROXIES: [Proxy; 3] = [
    Proxy { program: "nginx", variable: "RUNNEL_NGINX", package: "nginx-light" },
    Proxy { program: "haproxy", variable: "RUNNEL_HAPROXY", package: "haproxy" },
    Proxy { program: "caddy", variable: "RUNNEL_CADDY", package: "caddy" },
];

/// Those on this machine; on Debian, as root, those just installed. Each with its variable.
pub(crate) fn ensure(workspace: &Workspace) -> Result<Vec<(&'static str, PathBuf)>> {
    let missing: Vec<_> = PROXIES.iter().filter(|proxy| proxy.find().is_none()).collect();
    if !missing.is_empty() && debian::can_install(&workspace.shell) {
        let packages: Vec<_> = missing.iter().map(|proxy| proxy.package).collect();
        debian::install(&workspace.shell, &packages)?;
    }
    PROXIES.iter().map(|proxy| Ok((proxy.variable, proxy.ensured()?))).collect()
}

impl Proxy {
    fn ensured(&self) -> Result<PathBuf> {
        let Self { program, variable, .. } = self;
        self.find().with_context(|| {
            format!(
                "the tests of what is behind a proxy need {program}, which is not on PATH.\n  \
                 Install it, or name it in {variable}."
            )
        })
    }

    fn find(&self) -> Option<PathBuf> {
        // Where Debian has what only root has on PATH.
        let debians = PathBuf::from("/usr/sbin").join(self.program);
        let debians = Some(debians).filter(|path| path.is_file());
        given(self.variable).or_else(|| which(self.program)).or(debians)
    }
}
