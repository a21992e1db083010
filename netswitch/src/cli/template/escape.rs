//! `html`, `js` and `urlquery`.

use std::fmt::Write as _;

pub fn html(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&#34;".to_owned(),
        '\'' => "&#39;".to_owned(),
        '\0' => char::REPLACEMENT_CHARACTER.to_string(),
        c => c.to_string(),
    });
    escaped.collect()
}

/// A text inside of a script's quotes.
pub fn script(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '\\' | '\'' | '"' => format!("\\{c}"),
        '<' | '>' | '&' | '=' => format!("\\u{:04X}", u32::from(c)),
        c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
        c => c.to_string(),
    });
    escaped.collect()
}

/// A value in a URL's query.
pub fn query(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => escaped.push('+'),
            b'-' | b'_' | b'.' | b'~' => escaped.push(byte.into()),
            byte if byte.is_ascii_alphanumeric() => escaped.push(byte.into()),
            // Writing to a string does not fail.
            byte => _ = write!(escaped, "%{byte:02X}"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_is_escaped() {
        assert_eq!(html("<a&b> \"'é"), "&lt;a&amp;b&gt; &#34;&#39;é");
        assert_eq!(
            script("it's <\"a\"=\\&>\n"),
            "it\\'s \\u003C\\\"a\\\"\\u003D\\\\\\u0026\\u003E\\u000A"
        );
        assert_eq!(query("a b&c/é~"), "a+b%26c%2F%C3%A9~");
    }
}
