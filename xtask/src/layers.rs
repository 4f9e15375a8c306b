//! `cargo xtask check crates`: the crates under `crates/` are for everybody, so they depend neither on our
//! product nor on what only a program should choose: a command line, metrics, a UI framework.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use xshell::cmd;

use crate::workspace::{Workspace, step};

/// What no crate under `crates/` may depend on, be it through others.
const ABOVE: [&str; 6] = ["clap", "leptos", "prometheus", "runnel", "runnel-protos", "runnel-web"];

/// Checks it, with all features on.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let shell = &workspace.shell;
    let json = cmd!(shell, "cargo metadata --locked --all-features --format-version 1").quiet();
    let metadata = serde_json::from_str(&json.read()?)?;
    let crates = Graph::read(&metadata)?.checked()?;
    step(format!("{} crates depend on nothing above them: {}", crates.len(), crates.join(", ")));
    Ok(())
}

/// Who depends on whom, as cargo resolved it.
struct Graph<'a> {
    /// The name of each package, by its id.
    names: HashMap<&'a str, &'a str>,
    /// The ids of a package's dependencies, but for those of its tests and build scripts.
    dependencies: HashMap<&'a str, Vec<&'a str>>,
    /// The ids of the packages under `crates/`.
    crates: Vec<&'a str>,
}

impl<'a> Graph<'a> {
    /// Reads what `cargo metadata` says.
    fn read(metadata: &'a Value) -> Result<Self> {
        let root = text(&metadata["workspace_root"])?;
        let folder = Path::new(root).join("crates");
        let (mut names, mut crates) = (HashMap::new(), Vec::new());
        for package in list(&metadata["packages"])? {
            let id = text(&package["id"])?;
            names.insert(id, text(&package["name"])?);
            if Path::new(text(&package["manifest_path"])?).starts_with(&folder) {
                crates.push(id);
            }
        }
        let mut dependencies = HashMap::new();
        for node in list(&metadata["resolve"]["nodes"])? {
            let mut ids = Vec::new();
            for dependency in list(&node["deps"])? {
                if list(&dependency["dep_kinds"])?.iter().any(|kind| kind["kind"].is_null()) {
                    ids.push(text(&dependency["pkg"])?);
                }
            }
            dependencies.insert(text(&node["id"])?, ids);
        }
        Ok(Self { names, dependencies, crates })
    }

    /// The names of the crates, if none depends on what is above it.
    fn checked(&self) -> Result<Vec<&'a str>> {
        ensure!(!self.crates.is_empty(), "no package has its manifest under crates/");
        let mut checked = Vec::new();
        for &id in &self.crates {
            if let Some(path) = self.path_above(id) {
                bail!("a crate under crates/ depends on what is above it: {path}");
            }
            checked.push(self.names[id]);
        }
        checked.sort_unstable();
        Ok(checked)
    }

    /// The way from a crate to something above it, such as `runnel-wire -> clap`.
    fn path_above(&self, id: &'a str) -> Option<String> {
        let mut seen = HashSet::from([id]);
        let mut ways = vec![(id, self.names[id].to_owned())];
        while let Some((at, way)) = ways.pop() {
            for &next in self.dependencies.get(at).into_iter().flatten() {
                let name = self.names.get(next).copied().unwrap_or(next);
                let way = format!("{way} -> {name}");
                if ABOVE.contains(&name) {
                    return Some(way);
                }
                if seen.insert(next) {
                    ways.push((next, way));
                }
            }
        }
        None
    }
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().context("cargo metadata has something else where text was expected")
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().context("cargo metadata has something else where a list was expected")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `crates/low` depends on `middle`, which depends on `name` in this way.
    fn metadata(name: &str, kind: &Value) -> Value {
        let package =
            |name: &str, path: &str| json!({ "id": name, "name": name, "manifest_path": path });
        let dependency =
            |name: &str, kind: &Value| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        json!({
            "workspace_root": "/w",
            "packages": [
                package("low", "/w/crates/low/Cargo.toml"),
                package("middle", "/registry/middle/Cargo.toml"),
                package(name, "/registry/other/Cargo.toml"),
            ],
            "resolve": { "nodes": [
                { "id": "low", "deps": [dependency("middle", &Value::Null)] },
                { "id": "middle", "deps": [dependency(name, kind), dependency("low", &json!("dev"))] },
                { "id": name, "deps": [] },
            ] },
        })
    }

    #[test]
    fn a_crate_that_depends_on_the_command_line_through_another_is_found() {
        let metadata = metadata("clap", &Value::Null);
        let error = Graph::read(&metadata).unwrap().checked().unwrap_err();
        assert!(error.to_string().ends_with("low -> middle -> clap"), "{error}");
    }

    #[test]
    fn other_dependencies_and_those_of_tests_are_in_order() {
        for (name, kind) in
            [("bytes", Value::Null), ("clap", json!("dev")), ("clap", json!("build"))]
        {
            let metadata = metadata(name, &kind);
            assert_eq!(Graph::read(&metadata).unwrap().checked().unwrap(), ["low"]);
        }
    }

    #[test]
    fn without_any_crate_nothing_was_checked() {
        let metadata =
            json!({ "workspace_root": "/w", "packages": [], "resolve": { "nodes": [] } });
        assert!(Graph::read(&metadata).unwrap().checked().is_err());
    }
}
