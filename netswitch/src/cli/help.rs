//! `--help` in Docker's layout.

use std::fmt::Write as _;

use clap::{Arg, Command};

/// Columns of a terminal that says nothing of its size.
const COLUMNS: usize = 80;

/// The page of a command (writing to a string does not fail), `path` being how it is called.
pub fn page(command: &Command, path: &str, columns: Option<usize>) -> String {
    let mut page = format!("\n{}\n", synopsis(command, path));
    let aliases: Vec<&str> = command.get_visible_aliases().collect();
    if !aliases.is_empty() {
        _ = write!(page, "\nAliases:\n  {}, {}\n", command.get_name(), aliases.join(", "));
    }
    let options = options(command, columns.unwrap_or(COLUMNS));
    if !options.is_empty() {
        _ = write!(page, "\nOptions:\n{options}");
    }
    let (groups, plain): (Vec<&Command>, Vec<&Command>) = subcommands(command)
        .into_iter()
        .partition(|command| command.has_subcommands());
    for (title, commands) in [("Management Commands", groups), ("Commands", plain)] {
        if !commands.is_empty() {
            _ = write!(page, "\n{title}:\n");
            for command in commands {
                _ = writeln!(page, "  {:<11} {}", command.get_name(), about(command));
            }
        }
    }
    if command.has_subcommands() {
        _ = write!(
            page,
            "\nRun '{path} COMMAND --help' for more information on a command.\n"
        );
    }
    page
}

/// Usage and purpose: what also follows an error.
pub fn synopsis(command: &Command, path: &str) -> String {
    let mut usage = format!("Usage:  {path}");
    if visible_options(command).next().is_some() {
        usage += " [OPTIONS]";
    }
    if command.has_subcommands() {
        usage += " COMMAND";
    }
    for positional in command.get_positionals() {
        for name in positional.get_value_names().unwrap_or_default() {
            _ = write!(usage, " {name}");
        }
    }
    format!("{usage}\n\n{}", about(command))
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn subcommands(command: &Command) -> Vec<&Command> {
    let mut commands: Vec<&Command> = command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .collect();
    commands.sort_by_key(|command| command.get_name());
    commands
}

fn visible_options(command: &Command) -> impl Iterator<Item = &Arg> {
    let options = command.get_arguments().filter(|argument| !argument.is_positional());
    options.filter(|option| !option.is_hide_set() && option.get_long().is_some())
}

/// Sorted and aligned as Docker's flag library does it.
fn options(command: &Command, columns: usize) -> String {
    let mut options: Vec<(&str, String, String)> = visible_options(command)
        .map(|option| {
            let long = option.get_long().unwrap_or_default();
            let short = option
                .get_short()
                .map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
            let kind = option
                .get_value_names()
                .and_then(<[_]>::first)
                .filter(|_| !is_switch(option))
                .map(|kind| format!(" {kind}"))
                .unwrap_or_default();
            let help = option.get_help().map(ToString::to_string).unwrap_or_default();
            (long, format!("  {short}--{long}{kind}"), help)
        })
        .collect();
    options.sort_by_key(|(long, ..)| *long);
    let indent = options.iter().map(|(_, flag, _)| flag.len()).max().unwrap_or_default() + 3;
    let mut list = String::new();
    for (_, flag, help) in options {
        _ = writeln!(list, "{flag:<indent$}{}", wrap(&help, indent, columns - 1));
    }
    list
}

/// An option whose value may be left out is a switch.
pub fn is_switch(option: &Arg) -> bool {
    option.is_require_equals_set() || !option.get_action().takes_values()
}

/// Breaks a text as spf13/pflag does: it may end five columns late to avoid a lone last word.
fn wrap(text: &str, indent: usize, columns: usize) -> String {
    const SLOP: usize = 5;
    let (mut wrapped, indent) = match columns.saturating_sub(indent) {
        24.. => (String::new(), indent),
        _ => (format!("\n{:16}", ""), 16),
    };
    let Some(width) = columns.checked_sub(indent).filter(|width| *width >= 24) else {
        return text.to_owned();
    };
    let width = width - SLOP;
    let mut rest = text;
    while rest.len() > width + SLOP {
        let fits = (0..=width)
            .rev()
            .find(|end| rest.is_char_boundary(*end))
            .unwrap_or_default();
        let Some(space) = rest[..fits].rfind(' ').filter(|space| *space > 0) else {
            break;
        };
        _ = write!(wrapped, "{}\n{:indent$}", &rest[..space], "");
        rest = &rest[space + 1..];
    }
    wrapped + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_wrap_where_docker_wraps_them() {
        let text = "Auxiliary IPv4 or IPv6 addresses used by Network driver (default map[])";
        let expected = "Auxiliary IPv4 or IPv6 addresses used by\n    Network driver (default map[])";
        assert_eq!(wrap(text, 29, 79).replace(&" ".repeat(29), "    "), expected);
        assert_eq!(wrap("short", 29, 79), "short");
    }
}
