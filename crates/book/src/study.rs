//! What a page gives its reader to do: the exercises of its chapter, each with its answer folded away, and its quiz.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use crate::Found;
use crate::blocks::Block;
use crate::include::Expanded;
use crate::page::Page;

/// What there is to do, in all chapters.
#[derive(Debug, Default)]
pub struct Study {
    /// The directories in `exercises/`: `11-half-close`.
    pub exercises: BTreeSet<String>,
    /// The chapters that have a quiz: `11`, `midterm`.
    pub quizzes: BTreeSet<String>,
}

/// A page as its writer sees it.
#[derive(Clone, Copy)]
pub struct Written<'a> {
    /// Its text, with nothing included.
    pub source: &'a str,
    /// Its code blocks.
    pub blocks: &'a [Block],
    /// What it includes.
    pub expanded: &'a Expanded,
    /// What it says.
    pub page: &'a Page,
}

const EXERCISE: &str = "scripts/exercise ";
const QUIZ: &str = "scripts/quiz ";

/// The exercise in a directory: `05-large` is `5/large`.
pub fn id(directory: &str) -> String {
    directory.trim_start_matches('0').replacen('-', "/", 1)
}

fn chapter_of(id: &str) -> &str {
    id.split_once('/').map_or(id, |(chapter, _)| chapter)
}

impl Study {
    /// Whether there is an exercise of this id.
    pub fn has_exercise(&self, wanted: &str) -> bool {
        self.exercises
            .iter()
            .any(|directory| id(directory) == wanted)
    }

    /// Notes the exercises that lack one of their two files.
    pub fn check_files(&self, root: &Path, found: &mut Found) {
        for directory in &self.exercises {
            for file in ["exercise.rs", "solution.rs"] {
                let path = Path::new("exercises").join(directory).join(file);
                if !root.join(&path).is_file() {
                    found.at(
                        1,
                        format!("exercise `{}` has no {}", id(directory), path.display()),
                    );
                }
            }
        }
    }

    /// Notes what a page lacks, or has too much. Its chapter, where it is a chapter's page, is `11` or `midterm`.
    pub fn check_page(&self, chapter: Option<&str>, written: Written, found: &mut Found) {
        for (command, line) in written.commands(EXERCISE) {
            if chapter.is_some_and(|own| own != chapter_of(command)) {
                found.at(
                    line,
                    format!("exercise `{command}` belongs to another chapter"),
                );
            }
        }
        for (command, line) in written.commands(QUIZ) {
            let of = chapter_of(command);
            if !self.quizzes.contains(of) {
                found.at(line, format!("there is no quiz of chapter `{of}`"));
            } else if chapter.is_some_and(|own| own != of) {
                found.at(line, format!("quiz `{command}` belongs to another chapter"));
            }
        }
        self.check_includes(chapter, written, found);
        let Some(chapter) = chapter else { return };
        let own = |directory: &&String| chapter_of(&id(directory)) == chapter;
        for directory in self.exercises.iter().filter(own) {
            written.check_entry(directory, found);
        }
        if self.quizzes.contains(chapter) {
            let place = written.section("## Predict");
            let name = format!("{QUIZ}{chapter}");
            let named = written.page.code.iter();
            let named = named.filter(|(code, line)| *code == name && place.contains(line));
            if named.count() != 1 {
                found.at(
                    place.start,
                    format!("the section Predict names the chapter's quiz once: `{name}`"),
                );
            }
        }
    }

    /// What is included from an exercise is its answer, and folded away.
    fn check_includes(&self, chapter: Option<&str>, written: Written, found: &mut Found) {
        let solutions = written.solutions();
        for (file, line) in &written.expanded.includes {
            let Ok(inside) = file.strip_prefix("exercises") else {
                continue;
            };
            let directory = inside
                .parent()
                .unwrap_or(Path::new(""))
                .display()
                .to_string();
            if inside.file_name().is_none_or(|name| name != "solution.rs")
                || !solutions.iter().any(|solution| solution.contains(line))
            {
                found.at(
                    *line,
                    "of an exercise a page shows its solution.rs only, within <details class=\"solution\">",
                );
            } else if chapter.is_some_and(|own| own != chapter_of(&id(&directory))) {
                found.at(
                    *line,
                    format!("exercise `{}` belongs to another chapter", id(&directory)),
                );
            }
        }
    }
}

impl<'a> Written<'a> {
    /// What stands behind this command, in the text and in blocks to type. Options are left out.
    fn commands(self, start: &str) -> impl Iterator<Item = (&'a str, usize)> {
        let typed = self.blocks.iter().filter(|block| !block.is_included());
        let typed = typed.map(|block| (block.content.trim(), block.first));
        let spoken = self
            .page
            .code
            .iter()
            .map(|(code, line)| (code.as_str(), *line));
        spoken.chain(typed).filter_map(move |(code, line)| {
            let words = code.strip_prefix(start)?;
            let name = words.split_whitespace().next()?;
            let is_name = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
            is_name.then_some((name, line))
        })
    }

    /// The lines from this heading to the next one of its level or above; nothing where it is missing.
    fn section(self, heading: &str) -> Range<usize> {
        let level = heading.chars().take_while(|&c| c == '#').count();
        let ends = |line: &str| {
            let marks = line.chars().take_while(|&c| c == '#').count();
            (1..=level).contains(&marks)
        };
        let mut lines = (1..).zip(self.source.lines());
        let start = lines
            .find(|(_, line)| *line == heading)
            .map(|(line, _)| line);
        let Some(start) = start else { return 1..1 };
        let end = lines.find(|(_, line)| ends(line)).map(|(line, _)| line);
        start..end.unwrap_or(usize::MAX)
    }

    /// The lines of each answer that is folded away.
    fn solutions(self) -> Vec<Range<usize>> {
        let mut open = None;
        let mut solutions = Vec::new();
        for (line, text) in (1..).zip(self.source.lines()) {
            if text == r#"<details class="solution">"# {
                open = Some(line);
            } else if text == "</details>"
                && let Some(start) = open.take()
            {
                solutions.push(start..line);
            }
        }
        solutions
    }

    /// Notes what is missing in the entry of an exercise: the command, and below it the answer.
    fn check_entry(self, directory: &str, found: &mut Found) {
        let id = id(directory);
        let section = self.section("## Exercises");
        let command = format!("{EXERCISE}{id}");
        let block = self
            .blocks
            .iter()
            .find(|block| block.content.trim() == command && section.contains(&block.first));
        let Some(block) = block else {
            found.at(
                section.start,
                format!("exercise `{id}` has no entry: a block ```sh with `{command}` in the section Exercises"),
            );
            return;
        };
        let is_heading = |line: &usize| {
            let text = self.source.lines().nth(line - 1);
            text.is_some_and(|text| text.starts_with('#'))
        };
        let last = self.source.lines().count();
        let next = (block.last + 1..=last).find(is_heading).unwrap_or(last + 1);
        let answer = Path::new("exercises").join(directory).join("solution.rs");
        let answered = self
            .expanded
            .includes
            .iter()
            .any(|(file, line)| *file == answer && (block.last..next).contains(line));
        if !answered {
            found.at(
                block.first,
                format!(
                    "exercise `{id}` has no answer below it that includes {}",
                    answer.display()
                ),
            );
        }
    }
}
