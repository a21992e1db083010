//! The functions of Go's templates and those that Docker adds.

use std::cmp::Ordering;
use std::fmt::Write as _;

use serde_json::Value;

use super::evaluate::sorted;

/// Whether values or a table's titles are rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Data,
    Header,
}

const NAMES: &[&str] = &[
    "and", "eq", "ge", "gt", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not", "or", "pad", "print",
    "printf", "println", "split", "title", "truncate", "upper",
];

pub fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

pub fn call(name: &str, arguments: &[Value], mode: Mode) -> Result<Value, String> {
    let wrong = |problem: &str| format!("error calling {name}: {problem}");
    let nth = |i: usize| {
        arguments
            .get(i)
            .ok_or_else(|| wrong(&format!("wrong number of args: got {}", arguments.len())))
    };
    let text = |i: usize| {
        nth(i)?
            .as_str()
            .ok_or_else(|| wrong(&format!("argument {} is no string", i + 1)))
    };
    let number = |i: usize| {
        nth(i)?
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .ok_or_else(|| wrong(&format!("argument {} is no number", i + 1)))
    };
    if mode == Mode::Header && matches!(name, "json" | "split" | "join" | "title" | "truncate" | "pad") {
        return nth(0).cloned();
    }
    Ok(match name {
        "json" => nth(0)?.to_string().into(),
        "lower" => text(0)?.to_lowercase().into(),
        "upper" => text(0)?.to_uppercase().into(),
        "title" => title(text(0)?).into(),
        "split" => text(0)?.split(text(1)?).collect::<Vec<_>>().into(),
        "join" => {
            let parts: Vec<String> = nth(0)?.as_array().into_iter().flatten().map(print).collect();
            parts.join(text(1)?).into()
        }
        "pad" if text(0)?.is_empty() => "".into(),
        "pad" => format!("{}{}{}", " ".repeat(number(1)?), text(0)?, " ".repeat(number(2)?)).into(),
        "truncate" => text(0)?.chars().take(number(1)?).collect::<String>().into(),
        "print" => arguments.iter().map(print).collect::<String>().into(),
        "println" => (arguments.iter().map(print).collect::<Vec<_>>().join(" ") + "\n").into(),
        "printf" => printf(text(0)?, &arguments[1..]).into(),
        "len" => match nth(0)? {
            Value::String(text) => text.len().into(),
            Value::Array(values) => values.len().into(),
            Value::Object(map) => map.len().into(),
            Value::Null => 0.into(),
            Value::Bool(_) | Value::Number(_) => return Err(wrong("len of a single value")),
        },
        "index" => {
            let mut value = nth(0)?.clone();
            for key in &arguments[1..] {
                value = index(&value, key).map_err(|problem| wrong(&problem))?;
            }
            value
        }
        "not" => (!truth(nth(0)?)).into(),
        "and" => chosen(arguments, false).ok_or_else(|| wrong("no arguments"))?,
        "or" => chosen(arguments, true).ok_or_else(|| wrong("no arguments"))?,
        "eq" => {
            let first = nth(0)?;
            arguments[1..]
                .iter()
                .any(|other| compare(first, other) == Some(Ordering::Equal))
                .into()
        }
        _ => {
            let order = compare(nth(0)?, nth(1)?);
            if order.is_none() && name != "ne" {
                return Err(wrong("incompatible types for comparison"));
            }
            match name {
                "ne" => (order != Some(Ordering::Equal)).into(),
                "lt" => order.is_some_and(Ordering::is_lt).into(),
                "le" => order.is_some_and(Ordering::is_le).into(),
                "gt" => order.is_some_and(Ordering::is_gt).into(),
                _ => order.is_some_and(Ordering::is_ge).into(),
            }
        }
    })
}

/// Whether Go takes a value for true: anything but the empty ones.
pub fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// A value as Go prints it.
pub fn print(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(values) => format!("[{}]", values.iter().map(print).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let entries: Vec<String> = sorted(map)
                .into_iter()
                .map(|(key, value)| format!("{key}:{}", print(value)))
                .collect();
            format!("map[{}]", entries.join(" "))
        }
    }
}

/// The first argument that is true (`or`) or false (`and`), else the last.
fn chosen(arguments: &[Value], stops_at: bool) -> Option<Value> {
    let found = arguments.iter().find(|value| truth(value) == stops_at);
    found.or_else(|| arguments.last()).cloned()
}

/// An element; that of a key which is not there prints as nothing.
fn index(of: &Value, key: &Value) -> Result<Value, String> {
    match (of, key) {
        (Value::Object(map), Value::String(key)) => Ok(map.get(key).cloned().unwrap_or_else(|| "".into())),
        (Value::Array(values), Value::Number(number)) => {
            let found = number
                .as_u64()
                .and_then(|i| usize::try_from(i).ok())
                .and_then(|i| values.get(i));
            found.cloned().ok_or_else(|| format!("index out of range: {number}"))
        }
        (Value::Null, _) => Err("index of untyped nil".to_owned()),
        _ => Err(format!("cannot index {} with {}", print(of), print(key))),
    }
}

fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => (a == b).then_some(Ordering::Equal),
    }
}

fn title(text: &str) -> String {
    let mut start = true;
    text.chars()
        .map(|c| {
            let c = if start { c.to_ascii_uppercase() } else { c };
            start = !c.is_alphanumeric();
            c
        })
        .collect()
}

/// `%s`, `%v`, `%d`, `%q`, `%t` and `%%`.
fn printf(format: &str, arguments: &[Value]) -> String {
    let mut arguments = arguments.iter();
    let mut out = String::new();
    let mut characters = format.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match (characters.next(), arguments.as_slice()) {
            (Some('%'), _) => out.push('%'),
            (Some('q'), [value, ..]) => {
                _ = write!(out, "{:?}", print(value));
                arguments.next();
            }
            (Some('s' | 'v' | 'd' | 't'), [value, ..]) => {
                out.push_str(&print(value));
                arguments.next();
            }
            (Some(verb), []) => {
                _ = write!(out, "%!{verb}(MISSING)");
            }
            (Some(verb), [value, ..]) => {
                _ = write!(out, "%!{verb}({})", print(value));
                arguments.next();
            }
            (None, _) => out.push_str("%!(NOVERB)"),
        }
    }
    out
}
