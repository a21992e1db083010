//! The Engine API's versions: which of them are spoken.

use std::fmt;
use std::str::FromStr;

use crate::api::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    major: u32,
    minor: u32,
}

impl ApiVersion {
    /// What whoever names no version gets.
    pub const NEWEST: Self = Self::new(1, 51);
    pub const OLDEST: Self = Self::new(1, 24);
    /// The first whose clients know networks without IPv4.
    pub const WITH_IPV4: Self = Self::new(1, 48);

    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Refuses a version that is not spoken, as the engine refuses it.
    pub fn check(self) -> Result<Self, Error> {
        if self > Self::NEWEST {
            return Err(Error::bad_request(format!(
                "client version {self} is too new. Maximum supported API version is {}",
                Self::NEWEST
            )));
        }
        if self < Self::OLDEST {
            return Err(Error::bad_request(format!(
                "client version {self} is too old. Minimum supported API version is {}, \
                 please upgrade your client to a newer version",
                Self::OLDEST
            )));
        }
        Ok(self)
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ApiVersion {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (major, minor) = text.split_once('.').ok_or(())?;
        let number = |text: &str| text.parse().map_err(|_| ());
        Ok(Self::new(number(major)?, number(minor)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for spoken in ["1.24", "1.41", "1.44", "1.48", "1.51"] {
            let version: ApiVersion = spoken.parse().unwrap();
            assert_eq!(version.check().unwrap().to_string(), spoken);
        }
        for refused in ["1.9", "1.23", "1.52", "1.100", "2.0"] {
            assert!(refused.parse::<ApiVersion>().unwrap().check().is_err(), "{refused}");
        }
        for no_version in ["", "1", "1.", "1.x", "network.s"] {
            assert!(no_version.parse::<ApiVersion>().is_err(), "{no_version}");
        }
    }
}
