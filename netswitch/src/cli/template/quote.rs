//! Go's string and character literals, both ways.

/// A text as `strconv.Quote` writes it; `ascii`: nothing beyond ASCII.
pub fn quoted(text: &str, ascii: bool) -> String {
    let inside: String = text.chars().map(|c| escaped(c, '"', ascii)).collect();
    format!("\"{inside}\"")
}

/// A character as `strconv.QuoteRune` writes it.
pub fn quoted_rune(rune: char, ascii: bool) -> String {
    format!("'{}'", escaped(rune, '\'', ascii))
}

fn escaped(c: char, quote: char, ascii: bool) -> String {
    match c {
        '\u{7}' => "\\a".into(),
        '\u{8}' => "\\b".into(),
        '\u{c}' => "\\f".into(),
        '\n' => "\\n".into(),
        '\r' => "\\r".into(),
        '\t' => "\\t".into(),
        '\u{b}' => "\\v".into(),
        '\\' => "\\\\".into(),
        c if c == quote => format!("\\{c}"),
        c if c < ' ' || c == '\u{7f}' => format!("\\x{:02x}", u32::from(c)),
        c if (ascii && !c.is_ascii() || c.is_control()) && u32::from(c) > 0xffff => format!("\\U{:08x}", u32::from(c)),
        c if ascii && !c.is_ascii() || c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    }
}

/// What stands between two quotes, read; `None`: not as Go writes it.
pub fn unquoted(inside: &str, quote: char) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = inside;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c == '\n' || c == quote {
            return None;
        }
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let kind = rest.chars().next()?;
        let simple = match kind {
            'a' => Some(7),
            'b' => Some(8),
            'f' => Some(12),
            'n' => Some(b'\n'),
            'r' => Some(b'\r'),
            't' => Some(b'\t'),
            'v' => Some(11),
            '\\' => Some(b'\\'),
            kind if kind == quote => u8::try_from(kind).ok(),
            _ => None,
        };
        if let Some(byte) = simple {
            bytes.push(byte);
            rest = &rest[1..];
            continue;
        }
        let (skipped, length, radix) = match kind {
            'x' => (1, 2, 16),
            'u' => (1, 4, 16),
            'U' => (1, 8, 16),
            '0'..='7' => (0, 3, 8),
            _ => return None,
        };
        let number = u32::from_str_radix(rest.get(skipped..skipped + length)?, radix).ok()?;
        rest = &rest[skipped + length..];
        if matches!(kind, 'u' | 'U') {
            let c = char::from_u32(number)?;
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            bytes.push(u8::try_from(number).ok()?);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_read_as_they_are_written() {
        for (text, literal) in [
            ("plain é", "\"plain é\""),
            ("a\"b\\c\td\n", r#""a\"b\\c\td\n""#),
            ("\u{7}\u{8}\u{b}\u{c}\r", r#""\a\b\v\f\r""#),
            ("\u{1}\u{7f}", r#""\x01\x7f""#),
        ] {
            assert_eq!(quoted(text, false), literal);
            let inside = &literal[1..literal.len() - 1];
            assert_eq!(unquoted(inside, '"').as_deref(), Some(text));
        }
        for (inside, text) in [(r"\101\x42\u0043\U00000044", "ABCD"), (r"\xc3\xa9", "é"), ("'", "'")] {
            assert_eq!(unquoted(inside, '"').as_deref(), Some(text), "{inside}");
        }
        for bad in [r"\q", r"\'", "\\", r"\x4", r"\ud800", r"\xff", r"\400", "a\nb", "a\"b"] {
            assert_eq!(unquoted(bad, '"'), None, "{bad}");
        }
        assert_eq!(unquoted(r"\'", '\'').as_deref(), Some("'"));
        assert_eq!(
            (quoted("é", true), quoted_rune('\'', false)),
            ("\"\\u00e9\"".into(), "'\\''".into())
        );
    }
}
