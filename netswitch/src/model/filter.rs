//! `--filter`: which keys a list takes and how Docker compares their values.

use std::collections::BTreeMap;

use regex_lite::Regex;

use super::time::{Time, parse_duration};
use crate::api::{Error, Filters};

type Result<T> = std::result::Result<T, Error>;

/// Refuses a key that this list does not know.
pub fn check(filters: &Filters, accepted: &[&str]) -> Result<()> {
    match filters.keys().find(|key| !accepted.contains(&key.as_str())) {
        Some(key) => Err(Error::bad_request(format!("Invalid filter '{key}'"))),
        None => Ok(()),
    }
}

/// Whether the value is one of those given, or none was given.
pub fn exact(filters: &Filters, key: &str, value: &str) -> bool {
    given(filters, key).is_none_or(|patterns| patterns.iter().any(|pattern| pattern == value))
}

/// The regular expressions given for a key, read once for all values; `None` where none was given.
pub struct Patterns<'a>(Option<Vec<(&'a str, Option<Regex>)>>);

pub fn patterns<'a>(filters: &'a Filters, key: &str) -> Patterns<'a> {
    let read = |pattern: &'a String| (pattern.as_str(), Regex::new(pattern).ok());
    Patterns(given(filters, key).map(|given| given.iter().map(read).collect()))
}

impl Patterns<'_> {
    /// Whether one of them matches, or none was given. One that cannot be read matches itself alone, as in Docker.
    pub fn match_value(&self, value: &str) -> bool {
        let matches = |(pattern, regex): &(&str, Option<Regex>)| {
            *pattern == value || regex.as_ref().is_some_and(|regex| regex.is_match(value))
        };
        self.0.as_ref().is_none_or(|patterns| patterns.iter().any(matches))
    }
}

/// Whether all of the `name` and `name=value` given are there. Labels alone must all hold.
pub fn labels(filters: &Filters, key: &str, labels: &BTreeMap<String, String>) -> bool {
    given(filters, key).is_none_or(|wanted| {
        wanted.iter().all(|wanted| match wanted.split_once('=') {
            Some((name, value)) => labels.get(name).is_some_and(|found| found == value),
            None => labels.contains_key(wanted),
        })
    })
}

/// `until`: a duration before now, a point in time or seconds since 1970.
pub fn until(filters: &Filters, now: &str) -> Result<Option<Time>> {
    let Some([value]) = given(filters, "until") else {
        return match given(filters, "until") {
            Some(_) => Err(Error::internal("more than one until filter specified")),
            None => Ok(None),
        };
    };
    if let (Some(duration), Some(now)) = (parse_duration(value), Time::parse(now)) {
        return Ok(Some(Time {
            seconds: now.seconds - duration,
            ..now
        }));
    }
    let seconds = || {
        value.parse().ok().map(|seconds| Time {
            seconds,
            nanoseconds: 0,
        })
    };
    match Time::parse(value).or_else(seconds) {
        Some(time) => Ok(Some(time)),
        None => Err(Error::internal(format!(
            "failed to parse value as time or duration: {value:?}"
        ))),
    }
}

/// The values of a key, `None` where it was not given.
pub fn given<'a>(filters: &'a Filters, key: &str) -> Option<&'a [String]> {
    filters.get(key).map(Vec::as_slice).filter(|values| !values.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(pairs: &[(&str, &str)]) -> Filters {
        let mut filters = Filters::new();
        for (key, value) in pairs {
            filters.entry((*key).into()).or_default().push((*value).into());
        }
        filters
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = check(&filters(&[("name", "a"), ("colour", "red")]), &["name"]).unwrap_err();
        assert_eq!(error, Error::bad_request("Invalid filter 'colour'"));
    }

    #[test]
    fn names_are_regular_expressions() {
        let any = filters(&[("name", "^web"), ("name", "d[bc]$")]);
        let names = patterns(&any, "name");
        assert!(names.match_value("web-1") && names.match_value("my-db"));
        assert!(!names.match_value("my-web") && !names.match_value("db-1"));
        assert!(patterns(&any, "id").match_value("anything"));
        let unreadable = filters(&[("name", "(")]);
        let unreadable = patterns(&unreadable, "name");
        assert!(!unreadable.match_value("web") && unreadable.match_value("("));
        assert!(exact(&any, "driver", "bridge") && !exact(&filters(&[("driver", "bri")]), "driver", "bridge"));
    }

    #[test]
    fn labels_must_all_hold() {
        let have = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        assert!(labels(&filters(&[("label", "a=1"), ("label", "b")]), "label", &have));
        assert!(!labels(&filters(&[("label", "a=1"), ("label", "c")]), "label", &have));
        assert!(!labels(&filters(&[("label", "a=2")]), "label", &have));
    }

    #[test]
    fn until_is_a_duration_a_time_or_seconds() {
        let now = "2021-01-02T00:00:00Z";
        let read = |value| until(&filters(&[("until", value)]), now).map(|time| time.unwrap().to_string());
        for value in ["24h", "2021-01-01T00:00:00", "1609459200"] {
            assert_eq!(read(value).unwrap(), "2021-01-01T00:00:00.000000000Z");
        }
        assert_eq!(
            read("soon").unwrap_err().message,
            "failed to parse value as time or duration: \"soon\""
        );
        assert_eq!(until(&Filters::new(), now), Ok(None));
        let two = filters(&[("until", "1h"), ("until", "2h")]);
        assert_eq!(
            until(&two, now).unwrap_err().message,
            "more than one until filter specified"
        );
    }
}
