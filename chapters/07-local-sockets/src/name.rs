//! What a local socket is called: unix(7).

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use common::text::printable;
use common::{Call, CallError};
use nix::errno::Errno;
use nix::sys::socket::UnixAddr;

/// The longest name: sun_path has 108 bytes, and one of them ends a path or begins an abstract name.
const LONGEST: usize = 107;

/// A path; or, after an `@`, an abstract name, as ss(8) writes it. A file whose name begins with `@` is `./@…`.
#[derive(Debug, Clone)]
pub struct Name(OsString);

impl From<OsString> for Name {
    fn from(name: OsString) -> Self {
        Self(name)
    }
}

impl Name {
    /// The path, if it is one.
    pub fn path(&self) -> Option<&Path> {
        (!self.0.as_bytes().starts_with(b"@")).then(|| Path::new(&self.0))
    }

    // ANCHOR: address
    /// The name as a socket address. A name that does not fit is an error: what is left of it
    /// when it is cut would be the name of another file.
    pub fn address(&self) -> Result<UnixAddr, CallError> {
        let bytes = self.0.as_bytes();
        let (name, abstract_name) = match bytes.strip_prefix(b"@") {
            Some(name) => (name, true),
            None => (bytes, false),
        };
        if name.is_empty() {
            // To the kernel an empty path is an abstract name of no bytes, or a wish for any
            // name that is free.
            return Err(Errno::EINVAL).call("a local socket without a name");
        }
        if name.len() > LONGEST {
            let length = name.len();
            return Err(Errno::ENAMETOOLONG).call(format_args!(
                "{self}: a name of {length} bytes, of which {LONGEST} fit into a socket address"
            ));
        }
        let address = match abstract_name {
            true => UnixAddr::new_abstract(name),
            false => UnixAddr::new(name),
        };
        address.call(self)
    }
    // ANCHOR_END: address
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        printable(self.0.as_bytes()).fmt(f)
    }
}

/// An address that the kernel gave, written as a [`Name`]. `None` for a socket without a name.
pub fn shown(address: &UnixAddr) -> Option<String> {
    if let Some(name) = address.as_abstract() {
        return Some(format!("@{}", printable(name)));
    }
    let path = address.path()?;
    Some(printable(path.as_os_str().as_bytes()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(bytes: &[u8]) -> Name {
        Name(std::ffi::OsStr::from_bytes(bytes).to_owned())
    }

    #[test]
    fn e3_a_long_name_is_refused_and_not_cut() {
        for first in [b'x', b'@'] {
            let mut fits = vec![b'x'; LONGEST + usize::from(first == b'@')];
            fits[0] = first;
            let address = name(&fits).address().unwrap();
            assert_eq!(shown(&address).unwrap().as_bytes(), fits);
            fits.push(b'x');
            let error = name(&fits).address().unwrap_err();
            assert_eq!(error.errno(), Some(Errno::ENAMETOOLONG));
        }
    }

    #[test]
    fn paths_abstract_names_and_none() {
        assert_eq!(name(b"/tmp/s").path(), Some(Path::new("/tmp/s")));
        assert_eq!(name(b"@s").path(), None);
        assert_eq!(name(b"@s\xff").to_string(), r"@s\xff");
        assert_eq!(shown(&name(b"./@s").address().unwrap()).unwrap(), "./@s");
        assert!(name(b"").address().is_err() && name(b"@").address().is_err());
    }
}
