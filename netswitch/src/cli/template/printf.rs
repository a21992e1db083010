//! Go's `fmt`: verbs with flags, width and precision, and what it says where they do not fit.

use super::number;
use super::quote::{quoted, quoted_rune};
use super::value::{Value, sorted};
use crate::model::time;

/// `%v` of a value.
pub fn print(value: &Value) -> String {
    if *value == Value::Nil {
        return "<no value>".to_owned();
    }
    Directive::plain('v').show(value)
}

/// `print`: a space between two operands that are no texts.
pub fn sprint(values: &[Value]) -> String {
    let mut out = String::new();
    for (i, value) in values.iter().enumerate() {
        let is_text = |value: &Value| matches!(value, Value::Text(_));
        if i > 0 && !is_text(value) && !is_text(&values[i - 1]) {
            out.push(' ');
        }
        out.push_str(&Directive::plain('v').show(value));
    }
    out
}

/// `println`, with its line break.
pub fn sprintln(values: &[Value]) -> String {
    let texts: Vec<String> = values.iter().map(|value| Directive::plain('v').show(value)).collect();
    texts.join(" ") + "\n"
}

pub fn sprintf(format: &str, arguments: &[Value]) -> String {
    let mut reader = Reader {
        format: format.chars().collect(),
        at: 0,
        arguments,
        next: 0,
        reordered: false,
        good_index: true,
    };
    let mut out = String::new();
    while let Some(&c) = reader.format.get(reader.at) {
        reader.at += 1;
        if c == '%' {
            reader.directive(&mut out);
        } else {
            out.push(c);
        }
    }
    if !reader.reordered && reader.next < arguments.len() {
        let extra = arguments[reader.next..].iter().map(|value| match value {
            Value::Nil => "<nil>".to_owned(),
            value => format!("{}={}", value.type_name(), Directive::plain('v').show(value)),
        });
        out.push_str(&format!("%!(EXTRA {})", extra.collect::<Vec<_>>().join(", ")));
    }
    out
}

/// A place in the format, and the argument that comes next.
struct Reader<'a> {
    format: Vec<char>,
    at: usize,
    arguments: &'a [Value],
    next: usize,
    /// An index has been given: arguments may be left over.
    reordered: bool,
    good_index: bool,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.format.get(self.at).copied()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    /// From behind the `%` to behind the verb.
    fn directive(&mut self, out: &mut String) {
        let mut directive = Directive::plain('v');
        self.good_index = true;
        self.flags(&mut directive);
        let mut indexed = self.index();
        if self.eat('*') {
            match self.number_argument() {
                Some(width) => {
                    directive.minus |= width < 0;
                    directive.width = usize::try_from(width.unsigned_abs()).ok();
                }
                None => out.push_str("%!(BADWIDTH)"),
            }
            indexed = false;
        } else {
            directive.width = self.digits();
            if indexed && directive.width.is_some() {
                self.good_index = false;
            }
        }
        if self.eat('.') {
            if indexed {
                self.good_index = false;
            }
            indexed = self.index();
            if self.eat('*') {
                match self.number_argument() {
                    Some(precision) => directive.precision = usize::try_from(precision).ok(),
                    None => out.push_str("%!(BADPREC)"),
                }
                indexed = false;
            } else {
                directive.precision = Some(self.digits().unwrap_or(0));
            }
        }
        if !indexed {
            self.index();
        }
        let Some(verb) = self.peek() else {
            out.push_str("%!(NOVERB)");
            return;
        };
        self.at += 1;
        directive.verb = verb;
        directive.named = verb == 'v' && (directive.plus || directive.sharp);
        directive.typed = verb == 'v' && directive.sharp;
        if verb == 'v' {
            (directive.plus, directive.sharp) = (false, false);
        }
        match (verb, self.good_index, self.arguments.get(self.next)) {
            ('%', ..) => out.push('%'),
            (_, false, _) => out.push_str(&format!("%!{verb}(BADINDEX)")),
            (_, _, None) => out.push_str(&format!("%!{verb}(MISSING)")),
            (_, _, Some(value)) => {
                self.next += 1;
                out.push_str(&directive.show(value));
            }
        }
    }

    fn flags(&mut self, directive: &mut Directive) {
        while let Some(c) = self.peek() {
            match c {
                '+' => directive.plus = true,
                '-' => directive.minus = true,
                '#' => directive.sharp = true,
                ' ' => directive.space = true,
                '0' => directive.zero = true,
                _ => return,
            }
            self.at += 1;
        }
    }

    fn digits(&mut self) -> Option<usize> {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        let digits: String = self.format[start..self.at].iter().collect();
        // as in Go, wider than a million is no width
        digits.parse().ok().filter(|number| *number <= 1_000_000)
    }

    /// `[n]`: which argument comes next.
    fn index(&mut self) -> bool {
        if self.peek() != Some('[') {
            return false;
        }
        self.reordered = true;
        let rest = &self.format[self.at..];
        let Some(end) = rest.iter().position(|c| *c == ']') else {
            self.good_index = false;
            self.at += 1;
            return false;
        };
        let digits: String = rest[1..end].iter().collect();
        self.at += end + 1;
        match digits.parse::<usize>() {
            Ok(number) if (1..=self.arguments.len()).contains(&number) => {
                self.next = number - 1;
                true
            }
            _ => {
                self.good_index = false;
                true
            }
        }
    }

    /// For `*`.
    fn number_argument(&mut self) -> Option<i64> {
        let value = self.arguments.get(self.next)?;
        self.next += 1;
        match value {
            Value::Int(number) if number.unsigned_abs() <= 1_000_000 => Some(*number),
            _ => None,
        }
    }
}

/// One verb with its flags.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "Go's flags")]
pub struct Directive {
    pub verb: char,
    pub plus: bool,
    pub minus: bool,
    pub sharp: bool,
    pub space: bool,
    pub zero: bool,
    /// `%+v` and `%#v`: a structure's fields have names.
    pub named: bool,
    /// `%#v`: as Go would write it.
    pub typed: bool,
    pub width: Option<usize>,
    pub precision: Option<usize>,
}

impl Directive {
    const fn plain(verb: char) -> Self {
        Self {
            verb,
            plus: false,
            minus: false,
            sharp: false,
            space: false,
            zero: false,
            named: false,
            typed: false,
            width: None,
            precision: None,
        }
    }

    fn show(&self, value: &Value) -> String {
        let names_types = self.typed;
        match (value, self.verb) {
            (_, 'T') => self.text(value.type_name()),
            (Value::Nil, 'v') => self.pad("<nil>"),
            (Value::Bool(truth), 't' | 'v') => self.pad(if *truth { "true" } else { "false" }),
            (Value::Int(number), _) => number::integer(self, *number).unwrap_or_else(|| self.unfit(value)),
            (Value::Float(number), _) => number::float(self, *number).unwrap_or_else(|| self.unfit(value)),
            (Value::Text(text), 'v') if names_types => quoted(text, false),
            (Value::Text(text), 's' | 'v') => self.text(text),
            (Value::Text(text), 'q') => self.pad(&self.quoted(text)),
            (Value::Text(text), 'x' | 'X') => self.pad(&number::hexadecimal(self, text.as_bytes())),
            (Value::Time(text), _) => Self {
                verb: if self.verb == 'v' { 's' } else { self.verb },
                ..*self
            }
            .show(&Value::Text(time::in_go(text))),
            (Value::List(values), _) => {
                let values: Vec<String> = values.iter().map(|value| self.show(value)).collect();
                if names_types {
                    format!("{}{{{}}}", value.type_name(), values.join(", "))
                } else {
                    format!("[{}]", values.join(" "))
                }
            }
            (Value::Map(entries), _) => {
                let entries = sorted(entries).into_iter();
                let entries: Vec<String> = entries
                    .map(|(key, value)| format!("{}:{}", self.show(&key.as_str().into()), self.show(value)))
                    .collect();
                if names_types {
                    format!("{}{{{}}}", value.type_name(), entries.join(", "))
                } else {
                    format!("map[{}]", entries.join(" "))
                }
            }
            (Value::Struct(fields), _) => {
                let named = self.named;
                let fields = fields.iter().map(|field| {
                    let value = self.show(&field.value);
                    if named {
                        format!("{}:{value}", field.name)
                    } else {
                        value
                    }
                });
                let separator = if names_types { ", " } else { " " };
                format!("{{{}}}", fields.collect::<Vec<_>>().join(separator))
            }
            (Value::Nil | Value::Bool(_) | Value::Text(_), _) => self.unfit(value),
        }
    }

    fn unfit(&self, value: &Value) -> String {
        match value {
            Value::Nil => format!("%!{}(<nil>)", self.verb),
            value => format!(
                "%!{}({}={})",
                self.verb,
                value.type_name(),
                Self::plain('v').show(value)
            ),
        }
    }

    /// A text, cut to the precision.
    fn text(&self, text: &str) -> String {
        match self.precision {
            Some(length) => self.pad(&text.chars().take(length).collect::<String>()),
            None => self.pad(text),
        }
    }

    fn quoted(&self, text: &str) -> String {
        let text: String = match self.precision {
            Some(length) => text.chars().take(length).collect(),
            None => text.to_owned(),
        };
        let raw = |c: char| c != '`' && (c == '\t' || !c.is_control());
        if self.sharp && text.chars().all(raw) {
            format!("`{text}`")
        } else {
            quoted(&text, self.plus)
        }
    }

    /// `%q` and `%c` of a number.
    pub fn rune(&self, rune: char) -> String {
        self.pad(&if self.verb == 'q' {
            quoted_rune(rune, self.plus)
        } else {
            rune.to_string()
        })
    }

    /// To the width, in characters.
    pub fn pad(&self, text: &str) -> String {
        let missing = self.width.unwrap_or_default().saturating_sub(text.chars().count());
        if self.minus {
            return text.to_owned() + &" ".repeat(missing);
        }
        let filling = if self.zero { "0" } else { " " };
        filling.repeat(missing) + text
    }
}

#[cfg(test)]
mod tests;
