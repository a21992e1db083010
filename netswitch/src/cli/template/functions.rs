//! The functions of Go's templates and those that Docker adds.

use std::cmp::Ordering;

use super::escape;
use super::printf::{print, sprint, sprintf, sprintln};
use super::value::Value;

/// Whether values or a table's titles are rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Data,
    Header,
}

const NAMES: &[&str] = &[
    "and", "eq", "ge", "gt", "html", "index", "join", "js", "json", "le", "len", "lower", "lt", "ne", "not", "or",
    "pad", "print", "printf", "println", "slice", "split", "title", "truncate", "upper", "urlquery",
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
            .as_text()
            .ok_or_else(|| wrong(&format!("argument {} is no string", i + 1)))
    };
    let number = |i: usize| {
        nth(i)?
            .as_index()
            .ok_or_else(|| wrong(&format!("argument {} is no number", i + 1)))
    };
    if mode == Mode::Header && matches!(name, "json" | "split" | "join" | "title" | "truncate" | "pad") {
        return nth(0).cloned();
    }
    Ok(match name {
        "json" => nth(0)?.json().to_string().into(),
        "lower" => text(0)?.to_lowercase().into(),
        "upper" => text(0)?.to_uppercase().into(),
        "title" => title(text(0)?).into(),
        "split" => Value::List(text(0)?.split(text(1)?).map(Value::from).collect()),
        "join" => match nth(0)? {
            Value::List(values) => values.iter().map(print).collect::<Vec<_>>().join(text(1)?).into(),
            _ => return Err(wrong("argument 1 is no list")),
        },
        "pad" if text(0)?.is_empty() => "".into(),
        "pad" => format!("{}{}{}", " ".repeat(number(1)?), text(0)?, " ".repeat(number(2)?)).into(),
        "truncate" => {
            let (text, length) = (text(0)?, number(1)?);
            part(text, 0, length.min(text.len())).into()
        }
        "slice" => slice(nth(0)?, &arguments[1..]).map_err(|problem| wrong(&problem))?,
        "print" => sprint(arguments).into(),
        "println" => sprintln(arguments).into(),
        "printf" => sprintf(text(0)?, &arguments[1..]).into(),
        "html" => escape::html(&sprint(arguments)).into(),
        "js" => escape::script(&sprint(arguments)).into(),
        "urlquery" => escape::query(&sprint(arguments)).into(),
        "len" => match nth(0)? {
            Value::Text(text) => text.len().into(),
            Value::List(values) => values.len().into(),
            Value::Map(map) => map.len().into(),
            Value::Nil => 0_usize.into(),
            other => return Err(wrong(&format!("len of type {}", other.type_name()))),
        },
        "index" => {
            let mut value = nth(0)?.clone();
            for key in &arguments[1..] {
                value = index(&value, key).map_err(|problem| wrong(&problem))?;
            }
            value
        }
        "not" => (!nth(0)?.truth()).into(),
        "and" => chosen(arguments, false).ok_or_else(|| wrong("no arguments"))?,
        "or" => chosen(arguments, true).ok_or_else(|| wrong("no arguments"))?,
        "eq" => {
            let first = nth(0)?;
            nth(1)?;
            let mut equal = false;
            for other in &arguments[1..] {
                let order = compare(first, other).map_err(&wrong)?;
                equal |= order == Some(Ordering::Equal);
            }
            equal.into()
        }
        _ => {
            let order = compare(nth(0)?, nth(1)?).map_err(wrong)?;
            if order.is_none() && name != "ne" {
                return Err(wrong("invalid type for comparison"));
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

/// The first argument that is true (`or`) or false (`and`), else the last.
fn chosen(arguments: &[Value], stops_at: bool) -> Option<Value> {
    let found = arguments.iter().find(|value| value.truth() == stops_at);
    found.or_else(|| arguments.last()).cloned()
}

/// An element; that of a key which is not there prints as nothing.
fn index(of: &Value, key: &Value) -> Result<Value, String> {
    match (of, key) {
        (Value::Map(entries), Value::Text(key)) => {
            let found = entries.iter().find(|(name, _)| name == key);
            Ok(found.map_or_else(|| "".into(), |(_, value)| value.clone()))
        }
        (Value::List(values), Value::Int(number)) => {
            let found = key.as_index().and_then(|i| values.get(i));
            found.cloned().ok_or_else(|| format!("index out of range: {number}"))
        }
        (Value::Nil, _) => Err("index of untyped nil".to_owned()),
        _ => Err(format!("cannot index {} with {}", print(of), print(key))),
    }
}

/// `slice x from to`: bytes of a text, elements of a list.
fn slice(of: &Value, bounds: &[Value]) -> Result<Value, String> {
    let length = match of {
        Value::Text(text) => text.len(),
        Value::List(values) => values.len(),
        Value::Nil => return Err("slice of untyped nil".to_owned()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    if bounds.len() > 2 {
        return Err("cannot 3-index slice a string".to_owned());
    }
    let bound = |i: usize, default: usize| match bounds.get(i) {
        None => Ok(default),
        Some(Value::Int(number)) => {
            let bound = bounds[i].as_index().filter(|bound| *bound <= length);
            bound.ok_or_else(|| format!("index out of range: {number}"))
        }
        Some(other) => Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    let (from, to) = (bound(0, 0)?, bound(1, length)?);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match of {
        Value::List(values) => Value::List(values[from..to].to_vec()),
        of => part(of.as_text().unwrap_or_default(), from, to).into(),
    })
}

/// By bytes, as in Go; half a character is shown as one that cannot be read.
fn part(text: &str, from: usize, to: usize) -> String {
    String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned()
}

/// `None`: the two differ, and neither comes first.
fn compare(a: &Value, b: &Value) -> Result<Option<Ordering>, &'static str> {
    let is_basic = |value: &Value| matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_));
    Ok(match (a, b) {
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ if is_basic(a) && is_basic(b) => return Err("incompatible types for comparison"),
        _ => (a == b).then_some(Ordering::Equal),
    })
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
