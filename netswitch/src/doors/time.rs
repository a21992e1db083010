//! Points in time as Docker writes them.

/// Seconds since 1970 of an RFC 3339 time such as `2026-01-02T03:04:05.678901234+01:00`; the fraction is dropped.
pub fn parse(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let zone = text
        .get(19..)?
        .trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let offset = match zone.as_bytes() {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), ..] => {
            let minutes = zone.get(1..3)?.parse::<i64>().ok()? * 60 + zone.get(4..6)?.parse::<i64>().ok()?;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    Some(((days(year, month, day) * 24 + hour) * 60 + minute - offset) * 60 + second)
}

/// The same time as Go prints it: `2026-01-02 03:04:05.678901234 +0000 UTC`.
pub fn go(text: &str) -> String {
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

/// Days since 1970 of a date (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// A duration as Docker tells it to people: `About a minute`, `3 hours`.
pub fn human(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match seconds {
        ..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".to_owned(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_from_1970_in_utc() {
        assert_eq!(parse("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse("2024-02-29T12:30:45.123456789Z"), Some(1_709_209_845));
        assert_eq!(parse("2024-02-29T13:30:45.1+01:00"), Some(1_709_209_845));
        assert_eq!(parse("2024-02-29T07:00:45-05:30"), Some(1_709_209_845));
        assert_eq!(parse("yesterday"), None);
    }

    #[test]
    fn times_print_as_go_prints_them() {
        assert_eq!(go("2026-01-02T03:04:05.6Z"), "2026-01-02 03:04:05.6 +0000 UTC");
        assert_eq!(go("2026-01-02T03:04:05.6-05:30"), "2026-01-02 03:04:05.6 -0530 -0530");
    }

    #[test]
    fn durations_read_as_in_docker() {
        let rows = [
            (0, "Less than a second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (150, "2 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (3 * 86_400, "3 days"),
            (20 * 86_400, "2 weeks"),
        ];
        for (seconds, text) in rows {
            assert_eq!(human(seconds), text);
        }
    }
}
