//! Parts of a file, RFC 9110 section 14: `bytes=0-99`, `bytes=100-`, `bytes=-100`, and lists of these.

use crate::syntax::{decimal, list};

/// With more parts than this the file is sent whole, as the RFC allows: it is cheaper for everybody (section 14.2).
const MOST: usize = 16;

/// What a Range field asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// Everything: there is no valid Range field.
    Whole,
    /// These parts, none of them empty: where they start, and where they end, which is before this place.
    Parts(Vec<(u64, u64)>),
    /// Parts that a file of this size has not: 416.
    Unsatisfiable,
}

impl Ranges {
    /// Of a file of `size` bytes.
    pub fn parse(value: &[u8], size: u64) -> Self {
        let specs = match value.split_at_checked(6) {
            Some((unit, specs)) if unit.eq_ignore_ascii_case(b"bytes=") => specs,
            // A unit that we do not know, section 14.2.
            _ => return Self::Whole,
        };
        let mut parts = Vec::new();
        let mut asked = 0;
        for spec in list(specs).filter(|spec| !spec.is_empty()) {
            asked += 1;
            match part(spec, size) {
                _ if asked > MOST => return Self::Whole,
                None => return Self::Whole,
                Some((start, end)) if start < end => parts.push((start, end)),
                Some(_) => {}
            }
        }
        let bytes = parts
            .iter()
            .map(|(start, end)| u128::from(end - start))
            .sum::<u128>();
        match parts.len() {
            0 if asked == 0 => Self::Whole,
            0 => Self::Unsatisfiable,
            // Overlapping parts: more bytes than the file has.
            count if count > 1 && bytes > u128::from(size) => Self::Whole,
            _ => Self::Parts(parts),
        }
    }
}

/// One part; `None` if it is not well-formed, and an empty one if the file has none of it.
fn part(spec: &[u8], size: u64) -> Option<(u64, u64)> {
    let dash = spec.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    match (first, last) {
        (b"", suffix) => Some((size.saturating_sub(number(suffix)?), size)),
        (first, b"") => Some((number(first)?.min(size), size)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then(|| (first.min(size), last.saturating_add(1).min(size)))
        }
    }
}

/// One that is too large to be counted is beyond the end all the same.
fn number(digits: &[u8]) -> Option<u64> {
    let valid = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    valid.then(|| decimal(digits).unwrap_or(u64::MAX))
}
