//! The order in which Docker lists names: digits count as the number that they make.

use std::cmp::Ordering;

/// `net2` before `net10`, `a1` before `a01`; all else byte by byte.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let order = match (a.first(), b.first()) {
            (None, _) | (_, None) => return a.len().cmp(&b.len()),
            (Some(one), Some(other)) if one.is_ascii_digit() && other.is_ascii_digit() => {
                let (one, other) = (Number::take(&mut a), Number::take(&mut b));
                one.cmp(&other)
            }
            (Some(one), Some(other)) => {
                let order = other.is_ascii_digit().cmp(&one.is_ascii_digit()).then(one.cmp(other));
                (a, b) = (&a[1..], &b[1..]);
                order
            }
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Digits in a row. Of two with one value that with fewer zeros comes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Number<'a> {
    length: usize,
    digits: &'a [u8],
    zeros: usize,
}

impl<'a> Number<'a> {
    fn take(text: &mut &'a [u8]) -> Self {
        let zeros = text.iter().take_while(|byte| **byte == b'0').count();
        let length = text[zeros..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = &text[zeros..zeros + length];
        *text = &text[zeros + length..];
        Self { length, digits, zeros }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_count_as_numbers() {
        for row in [
            "Net3 a1 a01 a001 net net1 net2 net10 net_2 web-1 web-2 web-12",
            "127.0.0.9 127.0.0.10 192.168.0.1 1234567890123456789012345",
            "0 00 000 1 01 2 10 a",
            "80/tcp 100/tcp 443/tcp 443/udp",
            "a1b2 a1b10 a2b1 é1 é2 é10",
            "1a a a1",
        ] {
            let sorted: Vec<&str> = row.split(' ').collect();
            for (i, one) in sorted.iter().enumerate() {
                for (j, other) in sorted.iter().enumerate() {
                    assert_eq!(compare(one, other), i.cmp(&j), "{one} {other}");
                }
            }
        }
        assert_eq!(compare("", ""), Ordering::Equal);
        assert_eq!(compare("", "a"), Ordering::Less);
    }
}
