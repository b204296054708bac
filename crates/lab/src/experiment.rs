//! An experiment, and the list of all.

use crate::error::LabError;
use crate::lab::Lab;

/// How an experiment ends. Its claims are in the lab's book by then.
pub type Outcome = Result<(), LabError>;

/// An experiment: a story with claims, and a change of the story under which the central claims must fail.
#[derive(Debug, Clone, Copy)]
pub struct Experiment {
    /// `11/close`: the chapter and a name.
    pub id: &'static str,
    /// What it shows, in a sentence.
    pub title: &'static str,
    /// What the control changes, in a sentence.
    pub control: &'static str,
    /// The story.
    pub story: fn(&Lab) -> Outcome,
    /// It takes long; run only when asked for.
    pub slow: bool,
    /// It needs more than the machine's own loopback interface: several hosts, kernel variables, captured packets.
    pub isolated: bool,
    /// Other lessons whose programs it starts.
    pub others: &'static [&'static str],
}

impl Experiment {
    /// An experiment, its sentence, its story and what its control changes.
    pub const fn new(
        id: &'static str,
        title: &'static str,
        story: fn(&Lab) -> Outcome,
        control: &'static str,
    ) -> Self {
        Self {
            id,
            title,
            control,
            story,
            slow: false,
            isolated: false,
            others: &[],
        }
    }

    /// Marks it as one that takes long.
    pub const fn slow(mut self) -> Self {
        self.slow = true;
        self
    }

    /// Marks it as one that needs network namespaces.
    pub const fn isolated(mut self) -> Self {
        self.isolated = true;
        self
    }

    /// Names other lessons whose programs it starts.
    pub const fn also(mut self, packages: &'static [&'static str]) -> Self {
        self.others = packages;
        self
    }

    /// The packages whose programs it starts.
    pub fn packages(&self) -> Vec<String> {
        let others = self.others.iter().map(|package| package.to_string());
        others.chain([self.package()]).collect()
    }

    /// The chapter: what stands before the slash.
    pub fn chapter(&self) -> &'static str {
        self.id
            .split_once('/')
            .map_or(self.id, |(chapter, _)| chapter)
    }

    /// The package of the lesson: `chap-11`, `midterm`.
    pub fn package(&self) -> String {
        match self.chapter() {
            chapter if chapter.bytes().all(|byte| byte.is_ascii_digit()) => {
                format!("chap-{chapter}")
            }
            other => other.into(),
        }
    }

    /// Whether a word on the command line means this one: `all`, its id, its chapter (`11`, `chap-11`).
    pub fn is_meant_by(&self, word: &str) -> bool {
        word == "all" || word == self.id || word == self.chapter() || word == self.package()
    }
}
