//! How many descriptors a process may have.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::call::{Call, CallError};

/// Raises this process's limit on descriptors to what it may have without privileges, and returns it. The soft limit is 1024 on
/// most systems, for the sake of programs that use select(2); the hard limit is much higher. getrlimit(2), RLIMIT_NOFILE.
///
/// # Errors
/// Those of getrlimit(2) and setrlimit(2); raising the soft limit to the hard one is always allowed.
pub fn raise_limit() -> Result<u64, CallError> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).call("getrlimit")?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).call("setrlimit")?;
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_hard_one() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(raise_limit().unwrap(), hard);
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
    }
}
