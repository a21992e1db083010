//! A policy as a file: TOML, read with the line of everything that is wrong, and written.

use std::ops::Range;
use std::str::FromStr;

use serde::Deserialize;
use toml::{Spanned, Value};

use super::{Action, Direction, Policy, Ports, Rule, Subject, check};
use crate::api::Error;

/// What a file says.
#[derive(Debug, Default)]
pub struct File {
    pub rules: Vec<RuleAt>,
    pub defaults: Vec<DefaultAt>,
}

/// A rule, the line on which it begins, and those of its names.
#[derive(Debug)]
pub struct RuleAt {
    pub line: usize,
    pub from_line: usize,
    pub to_line: usize,
    pub rule: Rule,
}

/// The same of a default.
#[derive(Debug)]
pub struct DefaultAt {
    pub line: usize,
    pub of_line: usize,
    pub of: Subject,
    pub direction: Direction,
    pub action: Action,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    #[serde(default)]
    rule: Vec<Spanned<RuleTable>>,
    #[serde(default)]
    default: Vec<Spanned<DefaultTable>>,
}

type Field = Option<Spanned<Value>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    action: Field,
    from: Field,
    to: Field,
    protocol: Field,
    ports: Field,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DefaultTable {
    of: Field,
    direction: Field,
    action: Field,
}

/// Where text begins its lines, to find the line of a place in it.
struct Lines<'a> {
    /// What the user calls the file.
    name: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(name: &'a str, text: &str) -> Self {
        let after = text.match_indices('\n').map(|(place, _)| place + 1);
        Self {
            name,
            starts: std::iter::once(0).chain(after).collect(),
        }
    }

    /// From 1.
    fn line(&self, place: &Range<usize>) -> usize {
        self.starts.partition_point(|start| *start <= place.start)
    }

    /// Of a field or, where there is none, of its table.
    fn line_of(&self, field: Option<&Spanned<Value>>, table: usize) -> usize {
        field.map_or(table, |field| self.line(&field.span()))
    }

    fn error(&self, line: usize, message: &str) -> Error {
        Error::bad_request(format!("{}:{line}: {message}", self.name))
    }
}

impl File {
    /// Whether rules say the same twice, or one thing and its contrary.
    pub fn check(&self, name: &str) -> Result<(), Error> {
        let error = |line: usize, text: &str| Error::bad_request(format!("{name}:{line}: {text}"));
        let rules = self.rules.iter().map(|at| (at.line, &at.rule)).collect();
        check::rules(rules).map_err(|conflict| {
            let text = conflict.text(&format!("line {}", conflict.first));
            error(conflict.second, &format!("rule: {text}"))
        })?;
        check::defaults(&self.defaults).map_err(|(first, second)| {
            let hint = "hint: one [[default]] for each of and direction";
            error(
                second,
                &format!("default: line {first} says the same or the contrary\n{hint}"),
            )
        })
    }
}

/// Reads a file; `name` is what the user calls it.
pub fn read(name: &str, text: &str) -> Result<File, Error> {
    let lines = Lines::new(name, text);
    let tables: Tables = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| lines.line(&span));
        let known = "a [[rule]] has action, from, to, protocol and ports, a [[default]] has of, direction and action";
        lines.error(line, &format!("{}\nhint: {known}", error.message().trim()))
    })?;
    let mut file = File::default();
    for table in &tables.rule {
        let line = lines.line(&table.span());
        file.rules.push(rule(&lines, line, table.as_ref())?);
    }
    for table in &tables.default {
        let line = lines.line(&table.span());
        let DefaultTable { of, direction, action } = table.as_ref();
        file.defaults.push(DefaultAt {
            line,
            of_line: lines.line_of(of.as_ref(), line),
            of: required(&lines, line, "default.of", of.as_ref())?,
            direction: optional(&lines, "default.direction", direction.as_ref())?.unwrap_or_default(),
            action: required(&lines, line, "default.action", action.as_ref())?,
        });
    }
    Ok(file)
}

fn rule(lines: &Lines<'_>, line: usize, table: &RuleTable) -> Result<RuleAt, Error> {
    let ports_line = lines.line_of(table.ports.as_ref(), line);
    let no_ports = |text: String| lines.error(ports_line, &format!("rule.ports: {text}"));
    let ports = table.ports.as_ref().map(|value| ports(value.as_ref()));
    let ports = ports.transpose().map_err(no_ports)?.unwrap_or_default();
    let rule = Rule::new(
        required(lines, line, "rule.action", table.action.as_ref())?,
        required(lines, line, "rule.from", table.from.as_ref())?,
        required(lines, line, "rule.to", table.to.as_ref())?,
        optional(lines, "rule.protocol", table.protocol.as_ref())?,
        ports,
    );
    Ok(RuleAt {
        line,
        from_line: lines.line_of(table.from.as_ref(), line),
        to_line: lines.line_of(table.to.as_ref(), line),
        rule: rule.map_err(no_ports)?,
    })
}

fn required<T: FromStr<Err = String>>(
    lines: &Lines<'_>,
    line: usize,
    field: &str,
    value: Option<&Spanned<Value>>,
) -> Result<T, Error> {
    optional(lines, field, value)?.ok_or_else(|| {
        let name = field.rsplit('.').next().unwrap_or(field);
        lines.error(line, &format!("{field}: missing\nhint: {name} = \"…\""))
    })
}

fn optional<T: FromStr<Err = String>>(
    lines: &Lines<'_>,
    field: &str,
    value: Option<&Spanned<Value>>,
) -> Result<Option<T>, Error> {
    let Some(value) = value else { return Ok(None) };
    let read = match value.as_ref() {
        Value::String(text) => text.parse(),
        Value::Integer(number) => number.to_string().parse(),
        other => Err(format!("{} is no text\nhint: write it in quotes", other.type_str())),
    };
    read.map(Some)
        .map_err(|text| lines.error(lines.line(&value.span()), &format!("{field}: {text}")))
}

/// A port, a text such as `80,8000-8100`, or a list of both.
fn ports(value: &Value) -> Result<Vec<Ports>, String> {
    match value {
        Value::Integer(port) => Ports::list(&port.to_string()),
        Value::String(text) => Ports::list(text),
        Value::Array(list) if !list.is_empty() && !list.iter().any(Value::is_array) => {
            let lists: Result<Vec<Vec<Ports>>, String> = list.iter().map(ports).collect();
            Ok(lists?.concat())
        }
        other => Err(format!(
            "{} is no list of ports\nhint: ports = [80, \"8000-8100\"]",
            other.type_str()
        )),
    }
}

/// The file that reads as this policy.
pub fn write(policy: &Policy) -> String {
    let mut tables = Vec::new();
    for (of, defaults) in &policy.defaults {
        for (direction, action) in defaults.settings() {
            let mut table = "[[default]]\n".to_owned() + &field("of", &of.to_string());
            if direction != Direction::Both {
                table += &field("direction", direction.name());
            }
            tables.push(table + &field("action", action.name()));
        }
    }
    for rule in policy.rules.values() {
        let mut table = "[[rule]]\n".to_owned()
            + &field("action", rule.action.name())
            + &field("from", &rule.from.to_string())
            + &field("to", &rule.to.to_string());
        if !rule.protocol.is_any() || !rule.ports.is_empty() {
            table += &field("protocol", &rule.protocol.to_string());
        }
        if !rule.ports.is_empty() {
            table += &field("ports", &rule.ports_text());
        }
        tables.push(table);
    }
    tables.join("\n")
}

/// A line, its value as a basic string (TOML 1.0, "String").
fn field(name: &str, value: &str) -> String {
    let mut text = format!("{name} = \"");
    for letter in value.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            letter if letter.is_control() => text += &format!("\\u{:04X}", u32::from(letter)),
            letter => text.push(letter),
        }
    }
    text + "\"\n"
}

#[cfg(test)]
mod tests;
