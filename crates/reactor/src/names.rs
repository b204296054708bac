//! Things that are chosen by name at run time.

use std::fmt::Display;

/// Not one of the names that there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is none of {known}")]
pub struct UnknownName {
    name: String,
    known: String,
}

/// The one of `all` that is displayed as `name`.
pub(crate) fn by_name<T: Display + Copy>(all: &[T], name: &str) -> Result<T, UnknownName> {
    let names: Vec<_> = all.iter().map(ToString::to_string).collect();
    let found = names.iter().position(|known| known == name);
    found.map(|index| all[index]).ok_or_else(|| UnknownName {
        name: name.into(),
        known: names.join(", "),
    })
}
