//! `cargo xtask test`: every test of the workspace against the real, released thing.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read, Write},
    ops::Add,
    path::PathBuf,
    process::{Command, ExitCode, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    browser::Browser,
    build, proxies, python,
    tools::{self, Tools, go},
    workspace::{Workspace, step},
};

/// Builds, runs `cargo test`, says how many tests ran.
pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode> {
    // What may be missing comes first: nobody waits for a build to read that there is no browser.
    let browser = Browser::ensure(workspace)?;
    let proxies = proxies::ensure(workspace)?;
    let python = python::ensure(workspace)?;
    let go_backends = go::ensure_test_backends(workspace)?;
    let tools = Tools::ensure(workspace)?;
    let binary = build(workspace, &tools, None)?;

    let wasm_runner = tools::wasm_test_runner(workspace)?;
    let capabilities = capabilities(workspace, &browser)?;

    let run = |arguments: &[&str], more: &[OsString]| -> Result<(ExitStatus, Tally)> {
        let mut child = Command::new("cargo")
            // One failure must not hide the others, nor make the count a lie.
            .args(["test", "--no-fail-fast"])
            .args(arguments)
            .args(more)
            .current_dir(&workspace.root)
            // Some tests start `trunk serve`.
            .env("PATH", &tools.path)
            .env("RUNNEL_BIN", &binary)
            .envs(proxies.iter().map(|(variable, program)| (variable, program)))
            .env("RUNNEL_PYTHON", &python)
            .env("RUNNEL_GO_BACKENDS", &go_backends)
            .env("RUNNEL_CHROMIUM", &browser.chromium)
            .env("RUNNEL_CHROMEDRIVER", &browser.chromedriver)
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", &wasm_runner)
            .env("CHROMEDRIVER", &browser.chromedriver)
            .env("WASM_BINDGEN_TEST_WEBDRIVER_JSON", &capabilities)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start cargo")?;
        let output = child.stdout.take().context("no pipe from cargo")?;
        let tally = watch(output, io::stdout())?;
        Ok((child.wait()?, tally))
    };
    step("tests: cargo test (some minutes to compile the first time)");
    let (status, tally) = if chooses_packages(args) {
        run(&[], args)?
    } else {
        let (native_status, native) = run(&["--workspace"], args)?;
        step("tests of the browser client, in the browser: cargo test --target wasm32");
        let transport = ["-p", "runnel-client", "--target", tools::WASM, "--test", "transport"];
        let (wasm_status, wasm) = run(&transport, args)?;
        (if native_status.success() { wasm_status } else { native_status }, native + wasm)
    };

    if !status.success() && tally.failed == 0 {
        eprintln!("error: cargo test failed before every test could report; see above");
    }
    println!("{tally}");
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The browser as the runner of wasm tests is to start it; the file that says so.
fn capabilities(workspace: &Workspace, browser: &Browser) -> Result<PathBuf> {
    let file = workspace.target.join("webdriver.json");
    let options = json!({
        "binary": browser.chromium,
        // CI runs as root in a container, where Chromium's sandbox cannot be set up.
        "args": ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
    });
    fs::write(&file, json!({ "goog:chromeOptions": options }).to_string())?;
    Ok(file)
}

/// Whether the arguments for cargo itself (not those for the tests) say which packages to test.
fn chooses_packages(args: &[OsString]) -> bool {
    let mut for_cargo = args.iter().take_while(|arg| *arg != "--").filter_map(|arg| arg.to_str());
    for_cargo.any(|arg| arg.starts_with("-p") || arg.starts_with("--package"))
}

/// How many tests ended how.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Tally {
    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; …`; others are not
    /// about totals.
    fn count(&mut self, line: &str) {
        // With colours on, escape codes may stand around the words, never inside them.
        let Some((_, counts)) = line.split_once("test result: ") else {
            return;
        };
        let words: Vec<&str> = counts.split_whitespace().collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else {
                continue;
            };
            match pair[1].trim_end_matches(';') {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// Passes `output` on as it comes, half lines included, and counts.
fn watch(mut output: impl Read, mut to: impl Write) -> io::Result<Tally> {
    let mut tally = Tally::default();
    let mut line = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let read = match output.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let chunk = &buffer[..read];
        to.write_all(chunk)?;
        to.flush()?;
        for &byte in chunk {
            if byte == b'\n' {
                tally.count(&String::from_utf8_lossy(&line));
                line.clear();
            } else {
                line.push(byte);
            }
        }
        if read == 0 {
            tally.count(&String::from_utf8_lossy(&line));
            return Ok(tally);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time, as a pipe may.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(7);
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    const OUTPUT: &str = "running 3 tests\n\
        test a ... ok\n\
        test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n\
        a test printed 9 passed; 9 failed\n\
        test result: \u{1b}[31mFAILED\u{1b}[0m. 10 passed; 2 failed; 1 ignored; 0 measured; 4 filtered out";

    #[test]
    fn results_of_all_test_binaries_are_summed_across_chunks() {
        let mut seen = Vec::new();
        let tally = watch(Drip(OUTPUT.as_bytes()), &mut seen).unwrap();
        assert_eq!(tally, Tally { passed: 13, failed: 2, skipped: 1 });
        assert_eq!(tally.to_string(), "13 passed, 2 failed, 1 skipped");
        assert_eq!(seen, OUTPUT.as_bytes(), "everything is passed on");
    }

    #[test]
    fn nothing_skipped_is_not_mentioned() {
        assert_eq!(Tally { passed: 2, failed: 0, skipped: 0 }.to_string(), "2 passed, 0 failed");
    }

    #[test]
    fn only_cargos_own_arguments_choose_packages() {
        let args = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(chooses_packages(&args(&["-p", "runnel"])));
        assert!(chooses_packages(&args(&["--package=runnel"])));
        assert!(!chooses_packages(&args(&["browser", "--", "-p"])));
    }
}
