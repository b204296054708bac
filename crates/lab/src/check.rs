//! Whether something is as claimed, together with what was seen: so that a claim that fails says what happened instead.

use std::fmt::{Debug, Display};
use std::ops::{Not, RangeBounds};

/// The answer to a question about the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub(crate) answer: Answer,
    pub(crate) seen: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    /// This machine does not let us look.
    Unseen,
}

impl Check {
    /// An answer, and what it rests on.
    pub fn new(holds: bool, seen: impl Display) -> Self {
        let answer = if holds { Answer::Yes } else { Answer::No };
        Self {
            answer,
            seen: seen.to_string(),
        }
    }

    /// Whether something holds of which there is nothing to be seen but what is the matter if it does not.
    pub fn unless(holds: bool, why_not: impl Display) -> Self {
        match holds {
            true => Self::new(true, "so it is"),
            false => Self::new(false, why_not),
        }
    }

    /// No answer: what would have to be looked at cannot be seen here, for this reason.
    pub fn unseen(reason: impl Display) -> Self {
        Self {
            answer: Answer::Unseen,
            seen: reason.to_string(),
        }
    }

    /// Whether the answer is yes.
    pub fn holds(&self) -> bool {
        self.answer == Answer::Yes
    }

    /// Both hold.
    pub fn and(self, other: Check) -> Self {
        let answer = match (self.answer, other.answer) {
            (Answer::No, _) | (_, Answer::No) => Answer::No,
            (Answer::Unseen, _) | (_, Answer::Unseen) => Answer::Unseen,
            (Answer::Yes, Answer::Yes) => Answer::Yes,
        };
        Self {
            answer,
            seen: format!("{}; {}", self.seen, other.seen),
        }
    }

    /// At least one holds.
    pub fn or(self, other: Check) -> Self {
        !(!self).and(!other)
    }
}

impl Not for Check {
    type Output = Check;

    fn not(self) -> Check {
        let answer = match self.answer {
            Answer::Yes => Answer::No,
            Answer::No => Answer::Yes,
            Answer::Unseen => Answer::Unseen,
        };
        Check {
            answer,
            seen: self.seen,
        }
    }
}

/// `found` is exactly `expected`.
pub fn equal<T: PartialEq<U> + Debug, U: Debug>(found: T, expected: U) -> Check {
    Check::new(found == expected, format_args!("{found:?}"))
}

/// `found` lies in `range`. Times and counts; the range should leave room for a busy machine.
pub fn within<T: PartialOrd + Debug>(found: T, range: impl RangeBounds<T>) -> Check {
    Check::new(range.contains(&found), format_args!("{found:?}"))
}

/// Every one of the checks holds.
pub fn all(checks: impl IntoIterator<Item = Check>) -> Check {
    checks
        .into_iter()
        .reduce(Check::and)
        .unwrap_or(Check::new(false, "nothing to check"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_combine() {
        let (yes, no, unseen) = (equal(1, 1), equal(1, 2), Check::unseen("no right"));
        assert!(yes.clone().and(yes.clone()).holds() && !yes.clone().and(no.clone()).holds());
        assert!(no.clone().or(yes.clone()).holds() && !no.clone().or(no.clone()).holds());
        assert_eq!(yes.clone().and(unseen.clone()).answer, Answer::Unseen);
        assert_eq!(no.and(unseen.clone()).answer, Answer::No);
        assert_eq!((!unseen).answer, Answer::Unseen);
        assert!((!equal(1, 2)).holds() && within(5, 3..=5).holds() && !all([]).holds());
    }
}
