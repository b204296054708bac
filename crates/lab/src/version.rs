//! The version of the running kernel: uname(2).

use std::fmt;

use nix::sys::utsname::uname;

/// A kernel version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// The running kernel's.
    pub fn running() -> Self {
        let release = uname().map(|names| names.release().to_string_lossy().into_owned());
        Self::parse(&release.unwrap_or_default())
    }

    /// From a release such as `6.8.0-45-generic`; what is missing counts as 0.
    fn parse(release: &str) -> Self {
        let mut numbers = release
            .split(|c: char| !c.is_ascii_digit())
            .map(|number| number.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Self {
            major: next(),
            minor: next(),
            patch: next(),
        }
    }

    /// Whether it is this version or a later one.
    pub fn at_least(self, major: u32, minor: u32) -> bool {
        (self.major, self.minor) >= (major, minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_distributions_are_understood() {
        assert_eq!(
            Version::parse("6.8.0-45-generic"),
            Version {
                major: 6,
                minor: 8,
                patch: 0
            }
        );
        assert_eq!(
            Version::parse("5.15.153.1-microsoft-standard-WSL2").to_string(),
            "5.15.153"
        );
        assert!(Version::parse("6.18.44").at_least(6, 5) && !Version::parse("6.4").at_least(6, 5));
    }
}
