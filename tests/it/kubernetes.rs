//! What the Kubernetes manifests say of the product: people copy them, and a name that there is not would be
//! ignored without a word. `cargo xtask check manifests` validates their shape.

use std::{fs, path::Path, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use runnel_tests::{binary::Binary, metrics::Metrics, wire};

/// Each manifest: its path and its text.
fn manifests() -> Vec<(String, String)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes")];
    let mut manifests = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension() == Some("yaml".as_ref()) {
                let text = fs::read_to_string(&path).unwrap();
                manifests.push((path.display().to_string(), text));
            }
        }
    }
    manifests
}

/// The values of a key, wherever it stands.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let key = format!("{key}: ");
    let lines = text.lines().map(|line| line.trim().trim_start_matches("- "));
    lines.filter_map(|line| Some(line.strip_prefix(&key)?.trim_matches('"'))).collect()
}

/// The environment that a manifest sets: names and values.
fn environment(text: &str) -> Vec<(&str, &str)> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter_map(|pair| {
        let name = pair[0].strip_prefix("- name: ")?;
        let is_variable = name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        let value = pair[1].strip_prefix("value: ")?;
        is_variable.then_some((name, value.trim_matches('"')))
    });
    pairs.collect()
}

fn base() -> String {
    let mut manifests = manifests().into_iter();
    manifests.find(|(path, _)| path.ends_with("base/deployment.yaml")).unwrap().1
}

#[tokio::test]
async fn the_binary_takes_every_variable_that_a_manifest_sets() {
    let mut settings = 0;
    for (path, text) in manifests() {
        let mut args = Vec::new();
        for (name, value) in environment(&text) {
            settings += 1;
            let option = name.strip_prefix("RUNNEL_").unwrap_or_else(|| panic!("{name} in {path}"));
            // The test chooses ports and reads the log, so it sets these itself.
            if !["LISTEN", "ADMIN_LISTEN", "LOG_FORMAT"].contains(&option) {
                args.push(format!("--{}={value}", option.to_lowercase().replace('_', "-")));
            }
        }
        // An option that is unknown, or a value that it does not take, would end it before it listens.
        Binary::start(&args.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    assert!(settings >= 10, "only {settings}");
}

#[tokio::test]
async fn every_probed_and_scraped_path_is_on_the_admin_port() {
    let binary = Binary::start(&[]).await;
    let admin = binary.admin_address().unwrap();
    let mut paths = 0;
    for (manifest, text) in manifests() {
        for path in values(&text, "path").into_iter().filter(|path| path.starts_with('/')) {
            paths += 1;
            let request = Request::get(path).body(Bytes::new()).unwrap();
            let response = wire::http1_request(admin, request).await;
            assert_eq!(response.status(), StatusCode::OK, "{path} in {manifest}");
        }
    }
    assert!(paths >= 4, "only {paths}");
}

#[tokio::test]
async fn every_metric_that_scales_is_there() {
    let metrics = Metrics::read(Binary::start(&[]).await.admin_address().unwrap()).await;
    let mut names = 0;
    for (manifest, text) in manifests() {
        for query in text.split("runnel_").skip(1).filter(|rest| rest.contains('{')) {
            let (name, selector) = query.split_once('{').unwrap();
            if name.contains(|c: char| !c.is_ascii_lowercase() && c != '_') {
                continue;
            }
            names += 1;
            let name = format!("runnel_{name}");
            let label = r#"kind="stream""#;
            let there = metrics.series().any(|(series, _)| {
                series.strip_prefix(&name).is_some_and(|labels| labels.contains(label))
            });
            assert!(there && selector.contains(label), "{name} in {manifest}");
        }
    }
    assert!(names >= 3, "only {names}");
}

#[test]
fn ports_are_those_that_the_server_listens_on() {
    let deployment = base();
    let variables = environment(&deployment);
    for (variable, name) in [("RUNNEL_LISTEN", "public"), ("RUNNEL_ADMIN_LISTEN", "admin")] {
        let value = variables.iter().find(|(name, _)| *name == variable).unwrap().1;
        let port = value.parse::<std::net::SocketAddr>().unwrap().port();
        let lines: Vec<&str> = deployment.lines().map(str::trim).collect();
        let wanted = [format!("- name: {name}"), format!("containerPort: {port}")];
        assert!(lines.windows(2).any(|pair| pair == wanted), "{wanted:?}");
    }
}

#[test]
fn kubernetes_waits_longer_than_the_drain_takes() {
    let deployment = base();
    let number = |key| values(&deployment, key)[0].parse::<u64>().unwrap();
    let (grace, sleep) = (number("terminationGracePeriodSeconds"), number("seconds"));
    let variables = environment(&deployment);
    let drain = variables.iter().find(|(name, _)| *name == "RUNNEL_DRAIN_DEADLINE").unwrap().1;
    let drain = drain.strip_suffix('s').unwrap().parse::<u64>().unwrap();
    // Slow readers have a second after the deadline.
    let whole = Duration::from_secs(sleep + drain + 1);
    assert!(whole < Duration::from_secs(grace), "{whole:?} of {grace} s");
}
