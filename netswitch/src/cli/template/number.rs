//! Numbers and bytes as Go's `fmt` writes them.

use super::printf::Directive;

/// `None`: the verb is none of an integer's.
pub fn integer(directive: &Directive, number: i64) -> Option<String> {
    let magnitude = number.unsigned_abs();
    let (digits, prefix) = match directive.verb {
        'd' | 'v' => (magnitude.to_string(), ""),
        'b' => (format!("{magnitude:b}"), "0b"),
        'o' => (format!("{magnitude:o}"), "0"),
        'O' => (format!("{magnitude:o}"), "0o"),
        'x' => (format!("{magnitude:x}"), "0x"),
        'X' => (format!("{magnitude:X}"), "0X"),
        'c' | 'q' => {
            let rune = u32::try_from(number).ok().and_then(char::from_u32);
            return Some(directive.rune(rune.unwrap_or(char::REPLACEMENT_CHARACTER)));
        }
        'U' => return Some(directive.pad(&format!("U+{magnitude:04X}"))),
        _ => return None,
    };
    let sign = sign(directive, number < 0);
    let length = match (directive.precision, directive.width) {
        (Some(0), _) if number == 0 => {
            return Some(
                Directive {
                    zero: false,
                    ..*directive
                }
                .pad(""),
            );
        }
        (Some(length), _) => length,
        (None, Some(width)) if directive.zero && !directive.minus => width.saturating_sub(sign.len()),
        (None, _) => 0,
    };
    let zeros = "0".repeat(length.saturating_sub(digits.len()));
    let digits = zeros + &digits;
    let has_prefix = directive.verb == 'O' || directive.sharp && !(prefix == "0" && digits.starts_with('0'));
    let prefix = if has_prefix { prefix } else { "" };
    let plain = Directive {
        zero: false,
        ..*directive
    };
    Some(plain.pad(&format!("{sign}{prefix}{digits}")))
}

/// `None`: the verb is none of a floating-point number's.
pub fn float(directive: &Directive, number: f64) -> Option<String> {
    let magnitude = number.abs();
    let text = match directive.verb {
        _ if number.is_nan() => "NaN".to_owned(),
        _ if number.is_infinite() => "Inf".to_owned(),
        'e' | 'E' => exponential(&format!("{magnitude:.*e}", directive.precision.unwrap_or(6))),
        'f' | 'F' => format!("{magnitude:.*}", directive.precision.unwrap_or(6)),
        'g' | 'G' | 'v' => general(magnitude, directive.precision),
        _ => return None,
    };
    let text = if directive.verb.is_uppercase() && number.is_finite() {
        text.to_uppercase()
    } else {
        text
    };
    let infinite = Directive {
        plus: directive.plus || number.is_infinite() && number > 0.0,
        ..*directive
    };
    let sign = sign(&infinite, number.is_sign_negative() && !number.is_nan());
    if directive.zero && !directive.minus && number.is_finite() {
        let width = directive.width.unwrap_or_default().saturating_sub(sign.len());
        let zeros = "0".repeat(width.saturating_sub(text.len()));
        return Some(format!("{sign}{zeros}{text}"));
    }
    let plain = Directive {
        zero: false,
        ..*directive
    };
    Some(plain.pad(&format!("{sign}{text}")))
}

/// `%x` of a text.
pub fn hexadecimal(directive: &Directive, bytes: &[u8]) -> String {
    let bytes = &bytes[..directive.precision.unwrap_or(bytes.len()).min(bytes.len())];
    let digits = bytes.iter().map(|byte| match directive.verb {
        'X' => format!("{byte:02X}"),
        _ => format!("{byte:02x}"),
    });
    let prefix = match (directive.sharp && !bytes.is_empty(), directive.verb) {
        (false, _) => "",
        (true, 'X') => "0X",
        (true, _) => "0x",
    };
    if directive.space {
        let digits: Vec<String> = digits.map(|digits| format!("{prefix}{digits}")).collect();
        digits.join(" ")
    } else {
        prefix.to_owned() + &digits.collect::<String>()
    }
}

fn sign(directive: &Directive, negative: bool) -> &'static str {
    match (negative, directive.plus, directive.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        (false, false, false) => "",
    }
}

/// Rust's `1.5e3` as Go's `1.5e+03`.
fn exponential(text: &str) -> String {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// `%g`: with an exponent where that is large, without zeros at the end.
fn general(number: f64, precision: Option<usize>) -> String {
    let text = match precision {
        None => format!("{number:e}"),
        Some(precision) => format!("{number:.*e}", precision.max(1) - 1),
    };
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let digits = match digits.split_once('.') {
        Some((whole, fraction)) => {
            let fraction = fraction.trim_end_matches('0');
            if fraction.is_empty() {
                whole.to_owned()
            } else {
                format!("{whole}.{fraction}")
            }
        }
        None => digits.to_owned(),
    };
    let count = digits.len() - usize::from(digits.contains('.'));
    let limit = i32::try_from(precision.unwrap_or(6).max(1)).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= limit {
        return exponential(&format!("{digits}e{exponent}"));
    }
    let places = i32::try_from(count).unwrap_or(i32::MAX) - 1 - exponent;
    format!("{number:.*}", usize::try_from(places).unwrap_or(0))
}
