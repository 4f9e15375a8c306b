use std::{fs, path::Path};

use runnel_page::Policy;

use super::*;

fn parse(args: &[&str]) -> Result<(Command, ServeConfig), clap::Error> {
    let args = ["runnel"].iter().chain(args).map(OsString::from);
    Cli::read(&Cli::command(), args).map(Cli::into_command)
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn serve_is_the_default_command() {
    let (bare, bare_config) = parse(&["--listen", "127.0.0.1:1"]).unwrap();
    let (named, named_config) = parse(&["serve", "--listen", "127.0.0.1:1"]).unwrap();
    assert_eq!((bare, bare_config.listen), (named, named_config.listen));
    assert_eq!(bare, Command::Serve);
}

#[test]
fn the_defaults_of_the_command_line_are_those_of_the_library() {
    let (_, parsed) = parse(&[]).unwrap();
    assert_eq!(format!("{parsed:?}"), format!("{:?}", ServeConfig::default()));
}

#[test]
fn healthcheck_takes_the_listen_address() {
    let (command, config) = parse(&["healthcheck", "--listen", "[::1]:9"]).unwrap();
    assert_eq!(command, Command::Healthcheck);
    assert_eq!(config.listen, "[::1]:9".parse().unwrap());
}

#[test]
fn an_empty_admin_address_is_no_admin_port() {
    let admin = |args: &[&str]| parse(args).unwrap().1.admin.admin_listen;
    assert_eq!(admin(&["--admin-listen", ""]), None);
    assert_eq!(admin(&["--admin-listen", "off"]), None);
    assert_eq!(admin(&["--admin-listen", "[::]:9"]), Some("[::]:9".parse().unwrap()));
}

#[test]
fn a_page_is_a_folder_but_for_two_words() {
    let page = |args: &[&str]| parse(args).unwrap().1.page.page;
    assert_eq!(page(&[]), PageChoice::Embedded);
    assert_eq!(page(&["--page", "embedded"]), PageChoice::Embedded);
    assert_eq!(page(&["--page", "none"]), PageChoice::None);
    assert_eq!(page(&["--page", "./none"]), PageChoice::Folder("./none".into()));
    let policy = |text| parse(&["--page-csp", text]).unwrap().1.page.page_csp;
    assert_eq!(policy("none"), Policy::Omitted);
    assert_eq!(policy("default-src *"), Policy::Fixed("default-src *".parse().unwrap()));
}

/// Whatever is counted or takes time: with each new option this asks again what zero means there.
#[test]
fn zero_is_refused_or_help_says_what_it_switches_off() {
    let mut numbers = 0;
    for arg in Cli::command().get_arguments() {
        let name = arg.get_value_names().map(|names| names[0].to_string());
        let zero = match name.as_deref() {
            Some("DURATION") => "0s",
            Some("BYTES" | "CALLS" | "STREAMS" | "CONNECTIONS") => "0",
            // A number by another name would be missed here.
            _ if arg.get_default_values().iter().any(|value| is_number(value)) => {
                assert_eq!(arg.get_id(), "backend_port", "what is it a number of?");
                continue;
            }
            _ => continue,
        };
        numbers += 1;
        let flag = format!("--{}", arg.get_long().unwrap());
        let help = arg.get_long_help().or(arg.get_help()).unwrap().to_string();
        let says_what = help.contains(&format!("{zero} for "));
        match parse(&[&flag, zero]) {
            Ok(_) => assert!(says_what, "{flag} takes {zero}, and does not say why: {help}"),
            Err(error) => {
                assert_eq!(error.exit_code(), 2);
                assert!(!says_what, "{flag} refuses {zero}: {help}");
                assert!(error.to_string().contains("zero"), "{error}");
            }
        }
        // So large that it could be added to no clock.
        let huge = if zero == "0s" { "10000years" } else { "4000000000" };
        assert!(parse(&[&flag, huge]).is_ok(), "{flag} {huge}");
    }
    assert!(numbers >= 20, "only {numbers}");
}

fn is_number(value: &std::ffi::OsStr) -> bool {
    value.to_str().is_some_and(|value| value.parse::<u64>().is_ok())
}

#[test]
fn zero_switches_limits_off() {
    let zeros = ["--unary-deadline=0s", "--max-calls=0", "--max-streams-per-address=0"];
    let limits = parse(&zeros).unwrap().1.limits();
    assert_eq!(limits.unary_deadline, None);
    assert_eq!((limits.unary.total, limits.unary.per_address), (usize::MAX, 1024));
    assert_eq!((limits.streams.total, limits.streams.per_address), (4096, usize::MAX));
}

/// Each option has a row `| flag | variable | default | meaning |` there, and each row has an option.
#[test]
fn the_tables_of_options_in_the_documentation_are_complete_and_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/OPERATING.md");
    let text = fs::read_to_string(path).unwrap();
    let mut rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `--"))
        .map(|line| line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect())
        // A row of another table explains an option, too.
        .filter(|row: &Vec<&str>| row.len() == 4)
        .collect();
    for arg in Cli::command().get_arguments() {
        let (Some(long), Some(variable)) = (arg.get_long(), arg.get_env()) else { continue };
        let flag = format!("`--{long}`");
        let at = rows.iter().position(|row| row[0] == flag).unwrap_or_else(|| panic!("no {flag}"));
        let row = rows.swap_remove(at);
        assert_eq!(row[1], format!("`{}`", variable.to_str().unwrap()), "{flag}");
        if !arg.get_default_values().is_empty() {
            let default = row[2].split('`').nth(1).unwrap_or_else(|| panic!("{flag}: {}", row[2]));
            let (_, config) = parse(&[&format!("--{long}"), default]).unwrap();
            assert_eq!(format!("{config:?}"), format!("{:?}", ServeConfig::default()), "{flag}");
        }
    }
    // Without the feature `otel` the option is not there, and its row is.
    rows.retain(|row| cfg!(feature = "otel") || row[0] != "`--otlp-endpoint`");
    assert!(rows.is_empty(), "options that there are not: {rows:?}");
}

/// People copy these; a name that there is not would be ignored without a word.
#[test]
fn the_compose_files_set_options_that_there_are_to_values_that_they_take() {
    let command = Cli::command();
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let mut settings = 0;
    for entry in fs::read_dir(deploy).unwrap() {
        let path = entry.unwrap().path();
        if path.extension() != Some("yaml".as_ref()) {
            continue;
        }
        for line in fs::read_to_string(&path).unwrap().lines() {
            let Some((name, value)) = line.trim().split_once(": ") else { continue };
            if name.chars().any(|c| !c.is_ascii_uppercase() && c != '_') {
                continue;
            }
            let arg = command.get_arguments().find(|arg| arg.get_env() == Some(name.as_ref()));
            let arg = arg.unwrap_or_else(|| panic!("{name} in {}", path.display()));
            let flag = format!("--{}", arg.get_long().unwrap());
            assert!(parse(&[&flag, value.trim_matches('"')]).is_ok(), "{line}");
            settings += 1;
        }
    }
    assert!(settings >= 4, "only {settings}");
}

#[test]
fn bad_values_are_bad_usage() {
    for args in [
        &["--listen", "localhost"][..],
        &["--listen", "127.0.0.1:65536"],
        &["--drain-deadline", "-1s"],
        &["--log-format", "xml"],
        &["--header-limit-bytes", "0"],
        &["--header-timeout", "0s"],
        &["--tls-cert", "without-a-key.pem"],
        &["--tls-client-ca", "without-a-certificate.pem"],
        &["--admin-listen", "9090"],
        &["--cors-origin", "https://app.example/"],
        &["--cors-origin", "https://*.example"],
        &["--allow-host", "app.example:80"],
        &["--allow-host", "*"],
        &["--backend", "http://host:1/path"],
        &["--backend", "host"],
        &["--backend-client-cert", "file"],
        &["--backend-health-interval", "0s"],
        &["--trusted-proxy", "proxy"],
        &["--page", ""],
        &["--page-csp", ""],
        &["--page-csp", "default-src 'self'\nx: y"],
        &["--page-csp", "default-src 'sälf'"],
        &["--page-prefix", ""],
        &["--page-prefix", "/"],
        &["--page-prefix", "runnel"],
        &["--page-prefix", "/runnel/../.."],
        &["--no-such-option"],
        &["no-such-command"],
    ] {
        assert_eq!(parse(args).unwrap_err().exit_code(), 2, "{args:?}");
    }
}
