//! Resources: how much memory and how many processes a container may have.

use serde::{Deserialize, Serialize};

use crate::api::Error;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Bytes; `None`: as many as there are.
    pub memory: Option<u64>,
    pub pids: Option<u64>,
}

/// The engine's own processes in a container need that much.
const LEAST_MEMORY: u64 = 6 * 1024 * 1024;
/// Each 1024 times the one before.
const UNITS: [char; 5] = ['k', 'm', 'g', 't', 'p'];

impl Resources {
    /// As `--memory` and `--pids-limit` ask for them: nothing and less than nothing is no limit.
    pub fn new(memory: u64, pids: i64) -> Result<Self, Error> {
        if (1..LEAST_MEMORY).contains(&memory) {
            return Err(Error::bad_request("Minimum memory limit allowed is 6MB"));
        }
        Ok(Self {
            memory: Some(memory).filter(|memory| *memory > 0),
            pids: u64::try_from(pids).ok().filter(|pids| *pids > 0),
        })
    }
}

/// Reads a size as Docker's client does (`units.RAMInBytes`): `512m`, `1.5 GiB`, `4096`.
pub fn memory(text: &str) -> Result<u64, String> {
    let end = text
        .rfind(|character: char| character.is_ascii_digit() || character == '.' || character == ' ')
        .ok_or_else(|| format!("invalid size: '{text}'"))?;
    let (number, suffix) = text.split_at(end + 1);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let size: f64 = number
        .parse()
        .map_err(|_| format!("strconv.ParseFloat: parsing {number:?}: invalid syntax"))?;
    if size < 0.0 {
        return Err(format!("invalid size: '{text}'"));
    }
    let suffix = suffix.to_lowercase();
    let unit = suffix.chars().next().map_or(Some(0), |unit| {
        let power = UNITS.iter().position(|known| *known == unit).map(|place| place + 1);
        match (power, suffix.get(1..)) {
            (Some(power), Some("" | "b" | "ib")) => Some(power),
            (None, Some("")) if unit == 'b' => Some(0),
            _ => None,
        }
    });
    let power = unit.ok_or_else(|| format!("invalid suffix: '{suffix}'"))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a size is no more exact"
    )]
    Ok((size * (1_u64 << (10 * power)) as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_docker_reads_them() {
        for (text, bytes) in [
            ("32", 32),
            ("32b", 32),
            ("32k", 32 << 10),
            ("32Kb", 32 << 10),
            ("32 MiB", 32 << 20),
            ("1.5g", 3 << 29),
            ("2t", 2 << 40),
            (".5k", 512),
            ("0", 0),
        ] {
            assert_eq!(memory(text), Ok(bytes), "{text}");
        }
        for (text, message) in [
            ("", "invalid size: ''"),
            ("hello", "invalid size: 'hello'"),
            ("-32", "invalid size: '-32'"),
            ("32e", "invalid suffix: 'e'"),
            ("32bb", "invalid suffix: 'bb'"),
            ("32mx", "invalid suffix: 'mx'"),
            ("32 km", "invalid suffix: 'km'"),
            ("1.2.3k", "strconv.ParseFloat: parsing \"1.2.3\": invalid syntax"),
        ] {
            assert_eq!(memory(text).unwrap_err(), message, "{text}");
        }
    }

    #[test]
    fn too_little_memory_is_refused() {
        let message = Resources::new(4 << 20, 0).unwrap_err().message;
        assert_eq!(message, "Minimum memory limit allowed is 6MB");
        assert_eq!(Resources::new(0, -1).unwrap(), Resources::default());
        let limited = Resources::new(6 << 20, 100).unwrap();
        assert_eq!((limited.memory, limited.pids), (Some(6 << 20), Some(100)));
    }
}
