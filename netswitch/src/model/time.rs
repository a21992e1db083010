//! Points in time as RFC 3339 text, and durations in Docker's words. The clock itself is the agent's.

use std::fmt;

/// What Docker shows where something has not happened yet.
pub const NEVER: &str = "0001-01-01T00:00:00Z";

const DAY: i64 = 86_400;

/// A point in time, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Since 1970-01-01.
    pub seconds: i64,
    pub nanoseconds: u32,
}

impl Time {
    /// So many nanoseconds after this.
    #[must_use]
    pub fn later(self, nanoseconds: u64) -> Self {
        const SECOND: u64 = 1_000_000_000;
        let all = u64::from(self.nanoseconds) + nanoseconds % SECOND;
        Self {
            seconds: self.seconds + i64::try_from(nanoseconds / SECOND + all / SECOND).unwrap_or(0),
            nanoseconds: u32::try_from(all % SECOND).unwrap_or(0),
        }
    }

    /// Reads `2021-09-13T08:30:00.123456789+02:00`. Date only, hours only and minutes only are read
    /// too, and a missing zone is UTC.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, clock) = text.split_once('T').unwrap_or((text, "00"));
        let mut fields = date.splitn(3, '-');
        let year = number(fields.next()?, 4)?;
        let month = number(fields.next()?, 2)?;
        let day = number(fields.next()?, 2)?;
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let (clock, offset) = split_zone(clock)?;
        let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
        let mut fields = clock.splitn(3, ':');
        let hour = number(fields.next()?, 2)?;
        let minute = fields.next().map_or(Some(0), |field| number(field, 2))?;
        let second = fields.next().map_or(Some(0), |field| number(field, 2))?;
        if hour > 23 || minute > 59 || second > 60 || fraction.is_empty() || fraction.len() > 9 {
            return None;
        }
        let nanoseconds = format!("{fraction:0<9}").parse().ok()?;
        let seconds = days_from_civil(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset;
        Some(Self { seconds, nanoseconds })
    }

    /// Whole seconds from `earlier` to this.
    pub const fn since(self, earlier: Self) -> i64 {
        let difference = self.seconds - earlier.seconds;
        if self.nanoseconds < earlier.nanoseconds {
            difference - 1
        } else {
            difference
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.seconds.div_euclid(DAY));
        let second = self.seconds.rem_euclid(DAY);
        write!(
            out,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:09}Z",
            second / 3600,
            second / 60 % 60,
            second % 60,
            self.nanoseconds
        )
    }
}

fn number(text: &str, digits: usize) -> Option<i64> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Splits `08:30:00+02:00` into the clock and the zone's offset in seconds.
fn split_zone(clock: &str) -> Option<(&str, i64)> {
    if let Some(clock) = clock.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = clock.rfind(['+', '-']) else {
        return Some((clock, 0));
    };
    let (clock, zone) = clock.split_at(at);
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let offset = number(hours, 2)? * 3600 + number(minutes, 2)? * 60;
    Some((clock, if zone.starts_with('-') { -offset } else { offset }))
}

/// Days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// The same time as Go prints it: `2026-01-02 03:04:05.678901234 +0000 UTC`.
pub fn in_go(text: &str) -> String {
    let Some((date, rest)) = text.split_once('T') else {
        return text.to_owned();
    };
    match rest.find(['+', '-']) {
        Some(at) => {
            let zone = rest[at..].replace(':', "");
            let name = if zone == "+0000" { "UTC" } else { &zone };
            format!("{date} {} {zone} {name}", &rest[..at])
        }
        None => format!("{date} {} +0000 UTC", rest.trim_end_matches('Z')),
    }
}

/// `3 minutes`, `About an hour`, … as docker/go-units `HumanDuration`.
pub fn human_duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".into(),
        () if seconds == 1 => "1 second".into(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".into(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".into(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// From `earlier` to `now`, both RFC 3339, in Docker's words.
pub fn ago(now: &str, earlier: &str) -> String {
    let seconds = Time::parse(now)
        .zip(Time::parse(earlier))
        .map_or(0, |(now, earlier)| now.since(earlier));
    human_duration(seconds)
}

/// Reads Go's `1h30m`, `90s`, `1.5h`; whole seconds.
pub fn parse_duration(text: &str) -> Option<i64> {
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (value, tail) = rest.split_at(digits);
        let unit = tail
            .find(|letter: char| letter.is_ascii_digit() || letter == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += value.parse::<f64>().ok()? * seconds;
        rest = tail;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "fractions of a second do not matter here"
    )]
    let total = total as i64;
    Some(if text.starts_with('-') { -total } else { total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_time_are_the_same_in_both_directions() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00.000000000Z", 0),
            ("2000-02-29T12:00:00.500000000Z", 951_825_600),
            ("2026-11-22T10:12:09.000000001Z", 1_795_342_329),
            ("1969-12-31T23:59:59.000000000Z", -1),
        ] {
            let time = Time::parse(text).unwrap();
            assert_eq!((time.seconds, time.to_string()), (seconds, text.to_owned()));
        }
        for day in (-800_000..800_000).step_by(97) {
            let time = Time {
                seconds: day * DAY + 3,
                nanoseconds: 0,
            };
            assert!(day < -719_000 || Time::parse(&time.to_string()) == Some(time), "{time}");
        }
    }

    #[test]
    fn zones_and_short_forms_are_read() {
        let zoned = Time::parse("2021-09-13T16:30:05.25+08:00").unwrap();
        assert_eq!(zoned.to_string(), "2021-09-13T08:30:05.250000000Z");
        assert_eq!(
            Time::parse("2021-09-13").unwrap().to_string(),
            "2021-09-13T00:00:00.000000000Z"
        );
        assert_eq!(
            Time::parse("2021-09-13T07").unwrap().to_string(),
            "2021-09-13T07:00:00.000000000Z"
        );
        assert_eq!(
            Time::parse(NEVER).unwrap().to_string(),
            "0001-01-01T00:00:00.000000000Z"
        );
        for bad in [
            "",
            "x",
            "2021",
            "2021-13-01",
            "2021-01-01T25:00:00Z",
            "2021-01-01T00:00:00+1",
            "2021-1-1",
        ] {
            assert_eq!(Time::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_print_as_go_prints_them() {
        assert_eq!(in_go("2026-01-02T03:04:05.6Z"), "2026-01-02 03:04:05.6 +0000 UTC");
        assert_eq!(
            in_go("2026-01-02T03:04:05.6-05:30"),
            "2026-01-02 03:04:05.6 -0530 -0530"
        );
    }

    #[test]
    fn durations_have_dockers_words() {
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (185, "3 minutes"),
            (3600, "About an hour"),
            (5 * 3600, "5 hours"),
            (50 * 3600, "2 days"),
            (15 * DAY, "2 weeks"),
            (70 * DAY, "2 months"),
            (800 * DAY, "2 years"),
        ] {
            assert_eq!(human_duration(seconds), words);
        }
        assert_eq!(ago("2021-01-01T00:00:02.1Z", "2021-01-01T00:00:00.2Z"), "1 second");
    }

    #[test]
    fn go_durations_are_read() {
        assert_eq!(parse_duration("1h30m"), Some(5400));
        assert_eq!(parse_duration("1.5h"), Some(5400));
        assert_eq!(parse_duration("-10s"), Some(-10));
        for bad in ["", "-", "10", "h", "10x", "1h3"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
