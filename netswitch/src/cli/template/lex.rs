//! Cuts a template into text and actions, and an action into tokens.

use super::TemplateError;
use super::quote::unquoted;
use super::value::Value;

#[derive(Debug)]
pub enum Piece {
    Text(String),
    Action { line: usize, tokens: Vec<Token> },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub kind: Kind,
    /// Nothing stands between it and the token before: `$x.Name`, `(…).Name`.
    pub glued: bool,
    /// Line and byte in it.
    pub at: (usize, usize),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Dot,
    /// `.Name`, without the dot.
    Field(String),
    /// `$name`, with the dollar sign.
    Variable(String),
    Word(String),
    Literal(Value),
    /// `|`, `(`, `)`, `,`, `:=` and `=`.
    Symbol(&'static str),
}

impl Kind {
    pub fn word(&self) -> Option<&str> {
        if let Self::Word(word) = self { Some(word) } else { None }
    }
}

pub fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = 0;
    let mut trim_next = false;
    while let Some(open) = text[rest..].find("{{").map(|found| rest + found) {
        let trim_before = text[open + 2..].starts_with("- ");
        push_text(&mut pieces, &text[rest..open], trim_next, trim_before);
        let start = open + 2 + usize::from(trim_before);
        let line = 1 + text[..open].matches('\n').count();
        let mut lexer = Lexer { text, at: start, line };
        let tokens = if let Some(comment) = text[start..].trim_start().strip_prefix("/*") {
            let end = comment.find("*/").ok_or_else(|| lexer.error("unclosed comment"))?;
            lexer.at = text.len() - comment.len() + end + 2;
            lexer.tokens()?
        } else {
            let tokens = lexer.tokens()?;
            if tokens.is_empty() {
                return Err(lexer.error("missing value for command"));
            }
            tokens
        };
        trim_next = text[lexer.at..].starts_with('-');
        rest = lexer.at + usize::from(trim_next) + 2;
        if !tokens.is_empty() {
            pieces.push(Piece::Action { line, tokens });
        }
    }
    push_text(&mut pieces, &text[rest..], trim_next, false);
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str, trim_start: bool, trim_end: bool) {
    let text = if trim_start { text.trim_start() } else { text };
    let text = if trim_end { text.trim_end() } else { text };
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl Lexer<'_> {
    /// Tokens up to the end of the action; leaves `at` on `}}` or `-}}`.
    fn tokens(&mut self) -> Result<Vec<Token>, TemplateError> {
        let mut tokens = Vec::new();
        let mut glued = false;
        loop {
            let rest = &self.text[self.at..];
            if rest.starts_with("}}") || (!glued && rest.starts_with("-}}")) {
                return Ok(tokens);
            }
            let Some(first) = rest.chars().next() else {
                return Err(self.error("unclosed action"));
            };
            if first.is_whitespace() {
                self.at += first.len_utf8();
                glued = false;
                continue;
            }
            let at = (
                self.line,
                self.at - self.text[..self.at].rfind('\n').map_or(0, |found| found + 1),
            );
            let kind = self.token(first)?;
            tokens.push(Token { kind, glued, at });
            glued = true;
        }
    }

    fn token(&mut self, first: char) -> Result<Kind, TemplateError> {
        let rest = &self.text[self.at..];
        for symbol in [":=", "=", "|", "(", ")", ","] {
            if rest.starts_with(symbol) {
                self.at += symbol.len();
                return Ok(Kind::Symbol(symbol));
            }
        }
        match first {
            '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.at += 1;
                let name = self.word();
                Ok(if name.is_empty() { Kind::Dot } else { Kind::Field(name) })
            }
            '$' => {
                self.at += 1;
                Ok(Kind::Variable(format!("${}", self.word())))
            }
            '"' => self.quoted(rest).map(|text| Kind::Literal(text.into())),
            '\'' => self.rune(rest),
            '`' => {
                let end = rest[1..]
                    .find('`')
                    .ok_or_else(|| self.error("unterminated raw quoted string"))?;
                self.at += end + 2;
                Ok(Kind::Literal(rest[1..=end].into()))
            }
            '.' | '-' | '+' | '0'..='9' => self.number(rest),
            _ if first.is_alphabetic() || first == '_' => Ok(match self.word().as_str() {
                "true" => Kind::Literal(true.into()),
                "false" => Kind::Literal(false.into()),
                "nil" => Kind::Literal(Value::Nil),
                word => Kind::Word(word.to_owned()),
            }),
            _ => Err(self.error(&format!("bad character U+{:04X} {first:?}", u32::from(first)))),
        }
    }

    fn word(&mut self) -> String {
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        self.at += end;
        rest[..end].to_owned()
    }

    fn quoted(&mut self, rest: &str) -> Result<String, TemplateError> {
        let quote = rest.chars().next().unwrap_or('"');
        let mut escaped = false;
        let end = rest
            .char_indices()
            .skip(1)
            .find(|(_, c)| {
                let ends = *c == quote && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            })
            .map(|(end, _)| end)
            .ok_or_else(|| self.error("unterminated quoted string"))?;
        let literal = &rest[..=end];
        self.at += literal.len();
        unquoted(&rest[1..end], quote).ok_or_else(|| self.error(&format!("invalid syntax: {literal}")))
    }

    /// A character is its number.
    fn rune(&mut self, rest: &str) -> Result<Kind, TemplateError> {
        let text = self.quoted(rest)?;
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(rune), None) => Ok(Kind::Literal(Value::Int(u32::from(rune).into()))),
            _ => Err(self.error(&format!("malformed character constant: '{text}'"))),
        }
    }

    fn number(&mut self, rest: &str) -> Result<Kind, TemplateError> {
        let is_of_number = |(i, c): (usize, char)| {
            let after_exponent = || matches!(rest.as_bytes()[i - 1], b'e' | b'E') && !rest.starts_with("0x");
            c.is_ascii_alphanumeric() || "._".contains(c) || "+-".contains(c) && (i == 0 || after_exponent())
        };
        let end = rest
            .char_indices()
            .find(|found| !is_of_number(*found))
            .map_or(rest.len(), |(end, _)| end);
        let digits = &rest[..end];
        self.at += end;
        number(digits)
            .map(Kind::Literal)
            .ok_or_else(|| self.error(&format!("bad number syntax: {digits:?}")))
    }

    fn error(&self, message: &str) -> TemplateError {
        TemplateError(format!(":{}: {message}", self.line))
    }
}

/// Go's numbers: with a base's prefix, with underscores between digits, or with a fraction.
fn number(text: &str) -> Option<Value> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.ends_with('_') || digits.starts_with('_') || digits.contains("__") {
        return None;
    }
    let plain = digits.replace('_', "").to_ascii_lowercase();
    let (radix, plain) = match plain.get(..2) {
        Some("0x") => (16, &plain[2..]),
        Some("0b") => (2, &plain[2..]),
        Some("0o") => (8, &plain[2..]),
        _ if plain.len() > 1 && plain.starts_with('0') && plain.bytes().all(|byte| byte.is_ascii_digit()) => {
            (8, &plain[1..])
        }
        _ => (10, plain.as_str()),
    };
    if let Ok(number) = i64::from_str_radix(plain, radix) {
        return Some(Value::Int(sign * number));
    }
    let is_decimal = radix == 10 && plain.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let number: f64 = plain.parse().ok().filter(|_| is_decimal)?;
    Some(Value::Float(if sign < 0 { -number } else { number }))
}
