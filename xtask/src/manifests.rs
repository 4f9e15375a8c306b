//! `cargo xtask check manifests`: what `deploy/kubernetes` renders to, against the schemas of Kubernetes and
//! of the custom resources in it. Those come from the Go modules of the projects that define them.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    python,
    tools::go::Go,
    workspace::{Workspace, step},
};

const KUSTOMIZE: (&str, &str) = ("sigs.k8s.io/kustomize/kustomize/v5", "5.8.1");
/// The Kubernetes whose schemas count: the newest that `kubernetes-validate` of requirements has.
const KUBERNETES: &str = "1.37";

/// Modules, their versions, and where in them the definitions are.
const DEFINITIONS: [(&str, &str, &str); 3] = [
    ("sigs.k8s.io/gateway-api", "1.6.1", "config/crd/standard"),
    (
        "github.com/prometheus-operator/prometheus-operator",
        "0.84.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
    ("github.com/kedacore/keda/v2", "2.20.1", "config/crd/bases/keda.sh_scaledobjects.yaml"),
];

/// Renders the base and every example, and validates what comes out.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let go = Go::find(workspace)?;
    let kustomize = go.program(KUSTOMIZE.0, KUSTOMIZE.1)?;
    let python = python::ensure_manifests(workspace)?;
    let mut definitions = Vec::new();
    for (module, version, path) in DEFINITIONS {
        definitions.push(go.module(module, version)?.join(path));
    }
    let folder = workspace.root.join("deploy/kubernetes");
    let mut renderings = vec![folder.join("base")];
    for entry in fs::read_dir(folder.join("examples")).context("no examples")? {
        renderings.push(entry?.path());
    }
    fs::create_dir_all(&workspace.target)?;
    let rendered: PathBuf = workspace.target.join("manifests.yaml");
    for rendering in renderings {
        step(format!("manifests of {}", rendering.display()));
        let status = Command::new(&kustomize)
            .arg("build")
            .arg(&rendering)
            .stdout(File::create(&rendered)?)
            .status()
            .context("cannot start kustomize")?;
        ensure!(status.success(), "kustomize cannot render {}", rendering.display());
        let status = Command::new(&python)
            .arg(workspace.root.join("tests/python/manifests.py"))
            .arg(KUBERNETES)
            .args(&definitions)
            .stdin(File::open(&rendered)?)
            .status()
            .context("cannot start Python")?;
        ensure!(status.success(), "{} is invalid; see above", rendering.display());
    }
    Ok(())
}
