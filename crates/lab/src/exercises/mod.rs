//! All exercises, a file for each chapter: programs to mend or to finish, and the stories that tell whether they are.
//!
//! An exercise is a directory of `exercises/` with two programs: `exercise.rs`, which is the learner's, and `solution.rs`. Its
//! story is that of an experiment, told with [`Host::exercise`](crate::host::Host::exercise): the run is the solution's, and the
//! control is that of the program as it stands, so every central claim fails until the exercise is solved.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::experiment::{Experiment, Outcome};
use crate::lab::Lab;
use crate::ladder::entry;
use crate::programs::workspace;

mod chap02;
mod chap03;
mod chap04;
mod chap05;
mod chap06;
mod chap07;
mod chap08;
mod chap10;
mod chap11;
mod chap12;
mod chap13;
mod chap14;
mod chap15;
mod chap16;
mod chap17;
mod chap18;
mod chap19;
mod chap20;
mod chap21;
mod chap22;
mod chap23;
mod chap24;
mod chap25;
mod chap26;
mod chap27;
mod chap28;
mod chap29;
mod chap30;
mod chap31;
mod chap32;
mod chap33;
mod chap34;
mod chap35;
mod chap36;
mod chap37;
mod chap38;
mod chap39;
mod midterm;
mod pipe;

const CHAPTERS: &[&[Exercise]] = &[
    chap02::EXERCISES,
    chap03::EXERCISES,
    chap04::EXERCISES,
    chap05::EXERCISES,
    chap06::EXERCISES,
    chap07::EXERCISES,
    chap08::EXERCISES,
    chap10::EXERCISES,
    chap11::EXERCISES,
    chap12::EXERCISES,
    chap13::EXERCISES,
    chap14::EXERCISES,
    chap15::EXERCISES,
    chap16::EXERCISES,
    chap17::EXERCISES,
    chap18::EXERCISES,
    chap19::EXERCISES,
    midterm::EXERCISES,
    chap20::EXERCISES,
    chap21::EXERCISES,
    chap22::EXERCISES,
    chap23::EXERCISES,
    chap24::EXERCISES,
    chap25::EXERCISES,
    chap26::EXERCISES,
    chap27::EXERCISES,
    chap28::EXERCISES,
    chap29::EXERCISES,
    chap30::EXERCISES,
    chap31::EXERCISES,
    chap32::EXERCISES,
    chap33::EXERCISES,
    chap34::EXERCISES,
    chap35::EXERCISES,
    chap36::EXERCISES,
    chap37::EXERCISES,
    chap38::EXERCISES,
    chap39::EXERCISES,
];

/// Every exercise, in the order of the chapters.
pub fn all() -> impl Iterator<Item = Exercise> {
    CHAPTERS.iter().copied().flatten().copied()
}

/// An exercise: a program to mend, and the story whose claims all hold when it is.
#[derive(Debug, Clone, Copy)]
pub struct Exercise {
    /// The story. Its title says what the program is to do.
    pub experiment: Experiment,
    /// How long it takes.
    pub minutes: u32,
    /// Where to look, for who asks: a sentence or two, without the answer.
    pub hint: &'static str,
}

/// What is known of a learner's work at an exercise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Not solved, as far as is known.
    Open,
    /// The program as it is now has been seen to solve it.
    Solved,
    /// An earlier version of the program has.
    Changed,
}

impl Exercise {
    /// An exercise: its id, what the program is to do, the minutes it takes, its story and its hint.
    pub const fn new(
        id: &'static str,
        title: &'static str,
        minutes: u32,
        story: fn(&Lab) -> Outcome,
        hint: &'static str,
    ) -> Self {
        Self {
            experiment: Experiment::new(id, title, story, "the program as it stands"),
            minutes,
            hint,
        }
    }

    /// Marks it as one that needs network namespaces.
    pub const fn isolated(mut self) -> Self {
        self.experiment = self.experiment.isolated();
        self
    }

    /// Names other lessons whose programs it starts.
    pub const fn also(mut self, packages: &'static [&'static str]) -> Self {
        self.experiment = self.experiment.also(packages);
        self
    }

    /// `11/half-close`.
    pub fn id(&self) -> &'static str {
        self.experiment.id
    }

    /// The learner's program, from the root of the workspace: `exercises/11-half-close/exercise.rs`.
    pub fn program(&self) -> PathBuf {
        format!("exercises/{}/exercise.rs", directory(self.id())).into()
    }

    /// The worked answer, from the root of the workspace.
    pub fn solution(&self) -> PathBuf {
        self.program().with_file_name("solution.rs")
    }

    /// What is known of the learner's work.
    pub fn progress(&self) -> Progress {
        match (fs::read(self.kept()), fs::read(self.full_path())) {
            (Ok(kept), Ok(now)) if kept == now => Progress::Solved,
            (Ok(_), _) => Progress::Changed,
            (Err(_), _) => Progress::Open,
        }
    }

    /// Keeps a copy of the program that has just solved it.
    pub fn keep(&self) -> io::Result<()> {
        let kept = self.kept();
        fs::create_dir_all(kept.with_file_name(""))?;
        fs::copy(self.full_path(), kept).map(drop)
    }

    fn full_path(&self) -> PathBuf {
        workspace().join(self.program())
    }

    fn kept(&self) -> PathBuf {
        workspace().join(format!("target/exercises/{}.rs", directory(self.id())))
    }
}

/// The directory of an exercise, which sorts like the lessons' own: `11-half-close`, `05-short-counts`.
fn directory(id: &str) -> String {
    let (chapter, name) = id.split_once('/').unwrap_or((id, ""));
    format!("{chapter:0>2}-{name}")
}

/// The two programs of an exercise: the learner's and the worked answer.
const KINDS: [&str; 2] = ["exercise", "solution"];

/// Its two binaries: the learner's and the solution's.
pub fn binaries(id: &str) -> [String; 2] {
    KINDS.map(|kind| format!("{kind}-{}", directory(id)))
}

/// Whether a program is one of an exercise's, by its name.
pub(crate) fn is_binary(program: &str) -> bool {
    let kind = program.split_once('-').map(|(kind, _)| kind);
    kind.is_some_and(|kind| KINDS.contains(&kind))
}

/// The list of exercises, with what is known of each.
pub fn list(chosen: &[Exercise], width: usize) -> String {
    let mut text = String::new();
    let mut solved = 0;
    for exercise in chosen {
        let mark = match exercise.progress() {
            Progress::Open => '·',
            Progress::Solved => '✓',
            Progress::Changed => '~',
        };
        solved += usize::from(mark == '✓');
        let (id, minutes) = (exercise.id(), exercise.minutes);
        let title = exercise.experiment.title;
        text += &entry(&format!("{mark} {id:<24} {minutes:>2} min  "), title, width);
    }
    text += &format!(
        "\n{solved} of {} solved (✓); ~ was solved and has been changed since\n",
        chosen.len()
    );
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn directories_sort_like_the_chapters() {
        assert_eq!(directory("5/short-counts"), "05-short-counts");
        assert_eq!(directory("11/half-close"), "11-half-close");
        assert_eq!(directory("midterm/quit"), "midterm-quit");
    }

    /// What is in the list is in the tree and in the manifest, and the other way round.
    #[test]
    fn the_list_and_the_tree_agree() {
        let root = workspace().join("exercises");
        let listed: BTreeSet<_> = all().map(|exercise| directory(exercise.id())).collect();
        let entries = fs::read_dir(&root).unwrap().map(Result::unwrap);
        let directories: BTreeSet<_> = entries
            .filter(|entry| entry.file_type().unwrap().is_dir())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        assert_eq!(listed, directories);
        assert_eq!(listed.len(), all().count(), "an id stands twice");

        let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
        for directory in &directories {
            for kind in KINDS {
                let entry = format!(
                    "{{ name = \"{kind}-{directory}\", path = \"{directory}/{kind}.rs\", test = false, bench = false }},"
                );
                assert!(
                    manifest.contains(&entry),
                    "exercises/Cargo.toml lacks {entry}"
                );
            }
        }
    }

    /// Each takes about as long as it says, has a hint, and begins with how to check it.
    #[test]
    fn each_tells_the_learner_what_to_do() {
        for exercise in all() {
            let id = exercise.id();
            assert!((5..=20).contains(&exercise.minutes), "{id}");
            assert!(!exercise.hint.is_empty(), "{id} has no hint");
            let source = fs::read_to_string(exercise.full_path()).unwrap();
            let first = format!("//! Exercise {id}, {} minutes:", exercise.minutes);
            assert!(source.starts_with(&first), "{id} begins otherwise: {first}");
            let command = format!("scripts/exercise {id}");
            assert!(source.contains(&command), "{id} does not say {command}");
        }
    }
}
