//! Prepares the command line and the environment before clap reads them: an empty variable, which compose files
//! with `${NAME:-}` set, counts as not set, and blanks and a comma at the end of a list are removed.

use std::{ffi::OsString, iter};

use clap::{Arg, Command, builder::Resettable};

/// The option whose empty value has a meaning: it switches the admin port off.
const EMPTY_SAYS_SOMETHING: &str = "admin_listen";

/// The same command, which then ignores empty variables and reads only the items of lists. `variable` looks up a
/// variable of the environment.
pub(super) fn environment(
    command: Command,
    variable: impl Fn(&str) -> Option<OsString> + Copy,
) -> Command {
    let read = move |arg: Arg| {
        let value = arg.get_env().and_then(|name| variable(name.to_str()?));
        match value {
            Some(value) if value.is_empty() && arg.get_id() != EMPTY_SAYS_SOMETHING => {
                arg.env(Resettable::Reset)
            }
            Some(value) if is_list(&arg) => match value.to_str().map(items) {
                // As a default, because the command line wins over a variable and over a default alike. Defaults
                // must live as long as the process, which reads its environment once.
                Some(items) => arg
                    .env(Resettable::Reset)
                    .default_values(items.into_iter().map(|item| &*item.to_owned().leak())),
                // clap reports the error.
                None => arg,
            },
            _ => arg,
        }
    };
    command.mut_args(read).mut_subcommands(move |subcommand| environment(subcommand, variable))
}

/// The command line, with only the items of its lists; an empty list is left out.
pub(super) fn arguments(
    command: &Command,
    given: impl IntoIterator<Item = OsString>,
) -> Vec<OsString> {
    let lists: Vec<String> = iter::once(command)
        .chain(command.get_subcommands())
        .flat_map(Command::get_arguments)
        .filter(|arg| is_list(arg))
        .filter_map(|arg| Some(format!("--{}", arg.get_long()?)))
        .collect();
    let mut given = given.into_iter();
    let mut arguments = Vec::new();
    while let Some(argument) = given.next() {
        let text = argument.to_str().unwrap_or_default();
        let (flag, value) = text
            .split_once('=')
            .map_or((text, None), |(flag, value)| (flag, Some(OsString::from(value))));
        if !lists.iter().any(|list| list == flag) {
            arguments.push(argument);
            continue;
        }
        let flag = flag.to_owned();
        let Some(value) = value.or_else(|| given.next()) else {
            // Its value is missing; clap reports it.
            arguments.push(argument);
            break;
        };
        match value.to_str().map(items) {
            Some(items) if items.is_empty() => {}
            Some(items) => arguments.extend([flag.into(), items.join(",").into()]),
            None => arguments.extend([flag.into(), value]),
        }
    }
    arguments
}

fn is_list(arg: &Arg) -> bool {
    arg.get_value_delimiter().is_some()
}

fn items(list: &str) -> Vec<&str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::*;
    use crate::config::{Cli, ServeConfig};

    /// What is made of a command line and of an environment in which every variable has this value.
    fn parse(args: &[&str], variable: &str) -> Result<ServeConfig, clap::Error> {
        let command = environment(Cli::command(), |_| Some(variable.into()));
        let args = ["runnel"].iter().chain(args).map(OsString::from);
        let matches = command.clone().try_get_matches_from(arguments(&command, args))?;
        Ok(Cli::from_arg_matches(&matches)?.into_command().1)
    }

    #[test]
    fn a_variable_that_is_set_to_nothing_is_not_read_whichever_it_is() {
        fn check(command: &Command) -> usize {
            let emptied = environment(command.clone(), |_| Some(OsString::new()));
            let reads = |command: &Command| {
                let args = command.get_arguments().filter(|arg| arg.get_env().is_some());
                args.map(|arg| arg.get_id().to_string()).collect::<Vec<_>>()
            };
            let expected = reads(command).into_iter().filter(|id| id == EMPTY_SAYS_SOMETHING);
            assert_eq!(reads(&emptied), expected.collect::<Vec<_>>());
            reads(command).len() + command.get_subcommands().map(check).sum::<usize>()
        }
        assert!(check(&Cli::command()) > 60);
    }

    #[test]
    fn a_list_is_its_items_without_blanks_and_empty_ones() {
        let origins =
            |given: &str| [format!("{given}https://a.example"), "https://b.example".into()];
        let lists: [(&str, [String; 2]); 5] = [
            ("--cors-origin", origins("")),
            ("--public-origin", origins("")),
            ("--allow-host", ["a.example".into(), "b.example".into()]),
            ("--backend", ["http://a.example:1".into(), "http://b.example:1".into()]),
            ("--trusted-proxy", ["10.0.0.0/8".into(), "192.0.2.1/32".into()]),
        ];
        let command = Cli::command();
        let known = command.get_arguments().filter(|arg| is_list(arg)).count();
        assert_eq!(known, lists.len(), "each list has its line here");
        for (flag, [one, two]) in lists {
            let parsed = |args: &[&str]| {
                let config = parse(args, "").unwrap();
                format!("{:?} {:?}", config.access, config.backend)
            };
            let plain = parsed(&[flag, &one, flag, &two]);
            let list = format!(" {one} , {two}, ");
            assert_eq!(parsed(&[flag, &list]), plain);
            assert_eq!(parsed(&[&format!("{flag}={list}")]), plain);
            for nothing in ["", " ", ",", " , "] {
                assert_eq!(parsed(&[flag, nothing]), parsed(&[]), "{flag} {nothing:?}");
            }
            assert!(parse(&[flag], "").is_err(), "{flag} without a value");
        }
    }

    #[test]
    fn a_list_in_the_environment_is_read_like_one_on_the_command_line_which_goes_before_it() {
        let hosts = |args: &[&str], hosts: &str| {
            let command = environment(Cli::command(), |name| {
                (name == "RUNNEL_ALLOW_HOST").then(|| hosts.into())
            });
            let args = ["runnel"].iter().chain(args).map(OsString::from);
            let matches = command.clone().get_matches_from(arguments(&command, args));
            Cli::from_arg_matches(&matches).unwrap().into_command().1.access.allow_host
        };
        assert_eq!(hosts(&[], "a.example, b.example,"), ["a.example", "b.example"]);
        assert_eq!(hosts(&["serve"], "a.example, b.example,"), ["a.example", "b.example"]);
        assert_eq!(hosts(&["--allow-host", "c.example"], "a.example"), ["c.example"]);
        assert_eq!(hosts(&[], " , "), [""; 0]);
    }
}
