//! What the workspace holds besides the book: lessons, their programs, their experiments. A page shows all of it, and
//! names nothing that is not there.
//!
//! The list of programs is the table in `README.md`: that needs no build, and the lab's tests compare the table with what
//! the programs say of themselves. The list of experiments is the files in `docs/src/lab`, which the lab's tests compare
//! with the experiments.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::Found;
use crate::blocks::Block;
use crate::page::Page;
use crate::study::{self, Study};

/// What there is.
#[derive(Debug, Default)]
pub struct Tree {
    /// The lessons by the names of their packages.
    pub lessons: BTreeMap<String, Lesson>,
    /// The names of all packages.
    packages: BTreeSet<String>,
    /// The scripts, by their paths.
    scripts: BTreeSet<String>,
    /// The ids of the experiments.
    experiments: BTreeSet<String>,
    /// Exercises and quizzes.
    pub study: Study,
    /// The chapters that have no programs, as the README says.
    without: BTreeSet<String>,
}

/// A lesson, as the README lists it.
#[derive(Debug, Default)]
pub struct Lesson {
    /// Its page in `docs/src`: the page has the name of the lesson's directory.
    pub page: PathBuf,
    /// Its programs.
    pub programs: Vec<String>,
}

/// A row of the README's table.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    package: String,
    programs: Vec<String>,
    /// How many experiments; none where the cell is no number.
    experiments: Option<usize>,
    line: usize,
}

/// Reads the workspace; what its README says of it that is not so is noted.
pub fn read(root: &Path, runs: &Path, found: &mut Found) -> anyhow::Result<Tree> {
    let mut tree = Tree {
        scripts: names(&root.join("scripts"))?
            .map(|name| format!("scripts/{name}"))
            .collect(),
        experiments: names(runs)?
            .filter_map(|name| Some(id(name.strip_suffix(".md")?)))
            .filter(|id| is_id(id))
            .collect(),
        study: Study {
            exercises: names(&root.join("exercises"))?
                .filter(|name| is_id(&study::id(name)))
                .collect(),
            quizzes: names(&root.join("crates/lab/src/quiz"))?
                .filter_map(|name| quiz(name.strip_suffix(".rs")?))
                .collect(),
        },
        ..Tree::default()
    };
    let mut directories = BTreeMap::new();
    for place in ["chapters", "crates"] {
        for name in names(&root.join(place))? {
            let manifest = root.join(place).join(&name).join("Cargo.toml");
            if let Some(package) = package(&manifest)? {
                if place == "chapters" {
                    directories.insert(package.clone(), name);
                }
                tree.packages.insert(package);
            }
        }
    }
    let exercises = package(&root.join("exercises/Cargo.toml"))?;
    tree.packages.extend(exercises);

    let readme = fs::read_to_string(root.join("README.md")).context("read README.md")?;
    tree.without = without(&readme);
    for row in rows(&readme) {
        let Some(directory) = directories.remove(&row.package) else {
            let package = &row.package;
            found.at(
                row.line,
                format!("`{package}` is listed twice, or is no package in chapters/"),
            );
            continue;
        };
        let has = tree.experiments_of(&row.package).count();
        if row.experiments != Some(has) {
            found.at(
                row.line,
                format!(
                    "`{}` has {has} experiments, by the files that the lab has written of them",
                    row.package
                ),
            );
        }
        let lesson = Lesson {
            page: PathBuf::from(directory + ".md"),
            programs: row.programs,
        };
        tree.lessons.insert(row.package, lesson);
    }
    for package in directories.keys() {
        found.at(
            1,
            format!("the table of lessons has no row for `{package}`"),
        );
    }
    Ok(tree)
}

/// The names of what is in a directory; nothing where there is none.
fn names(directory: &Path) -> anyhow::Result<impl Iterator<Item = String>> {
    let failed = || format!("list {}", directory.display());
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries
            .collect::<Result<Vec<_>, _>>()
            .with_context(failed)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(failed),
    };
    Ok(entries
        .into_iter()
        .map(|entry| entry.file_name().to_string_lossy().into_owned()))
}

/// The name in a package's manifest, if there is one.
fn package(manifest: &Path) -> anyhow::Result<Option<String>> {
    if !manifest.is_file() {
        return Ok(None);
    }
    let failed = || format!("read {}", manifest.display());
    let text = fs::read_to_string(manifest).with_context(failed)?;
    let table: toml::Table = text.parse().with_context(failed)?;
    let name = table.get("package").and_then(|package| package.get("name"));
    Ok(name.and_then(|name| name.as_str()).map(str::to_owned))
}

/// The rows of lessons in the README: a package, its programs, the number of its experiments.
fn rows(readme: &str) -> Vec<Row> {
    let row = |(line, text): (usize, &str)| {
        let cells: Vec<_> = text
            .strip_prefix('|')?
            .strip_suffix('|')?
            .split('|')
            .collect();
        let [lesson, programs, experiments] = cells.as_slice() else {
            return None;
        };
        Some(Row {
            package: lesson
                .trim()
                .strip_prefix('`')?
                .split_once('`')?
                .0
                .to_owned(),
            programs: programs
                .split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect(),
            experiments: experiments.trim().parse().ok(),
            line,
        })
    };
    (1..).zip(readme.lines()).filter_map(row).collect()
}

/// The numbers in the README's sentence about chapters "without programs".
fn without(readme: &str) -> BTreeSet<String> {
    let sentence = readme
        .lines()
        .find(|line| line.ends_with("without programs."));
    let numbers = sentence
        .unwrap_or_default()
        .split(|c: char| !c.is_ascii_digit());
    numbers
        .map(chapter)
        .filter(|number| !number.is_empty())
        .collect()
}

/// Whether a page is a chapter's: its name begins with a number.
pub fn is_chapter(page: &Path) -> bool {
    number(page).is_some()
}

fn number(page: &Path) -> Option<&str> {
    let (number, _) = page.to_str()?.split_once('-')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(number)
}

/// `02` is chapter `2`.
fn chapter(number: &str) -> String {
    number.trim_start_matches('0').to_owned()
}

/// The chapter whose quiz is in a module of this name.
fn quiz(module: &str) -> Option<String> {
    match module.strip_prefix("chap") {
        Some(number) => Some(chapter(number)),
        None => (module == "midterm").then(|| module.to_owned()),
    }
}

/// The experiment whose run is in a file of this name: `11-close` is `11/close`.
fn id(file: &str) -> String {
    file.replacen('-', "/", 1)
}

impl Tree {
    /// The experiments of a lesson.
    fn experiments_of(&self, package: &str) -> impl Iterator<Item = &String> {
        let chapter = package.strip_prefix("chap-").unwrap_or(package);
        let start = format!("{chapter}/");
        self.experiments
            .iter()
            .filter(move |id| id.starts_with(&start))
    }

    /// Whether an experiment or a program has this name.
    pub fn shows(&self, name: &str) -> bool {
        let mut lessons = self.lessons.values();
        self.experiments.contains(name)
            || lessons.any(|lesson| lesson.programs.iter().any(|program| program == name))
    }

    /// Notes the experiments that are on none of the pages, given the files that the pages include.
    pub fn check_shown(&self, included: &BTreeSet<PathBuf>, runs: &Path, found: &mut Found) {
        for id in &self.experiments {
            let file = id.replacen('/', "-", 1) + ".md";
            if !included.contains(&runs.join(&file)) {
                found.at(
                    1,
                    format!("no page shows `{id}`: include docs/src/lab/{file}"),
                );
            }
        }
    }

    /// The chapter that this page is of: `11`, `midterm`.
    pub fn chapter(&self, path: &Path) -> Option<String> {
        let own = self.lessons.iter().find(|(_, lesson)| lesson.page == path);
        let of_package = |package: &String| match package.strip_prefix("chap-") {
            Some(number) => number.to_owned(),
            None => package.clone(),
        };
        own.map(|(package, _)| of_package(package))
            .or_else(|| number(path).map(chapter))
    }

    /// Whether this is the page of a chapter that has programs, or should have.
    pub fn is_lesson(&self, path: &Path) -> bool {
        number(path).is_some_and(|number| !self.without.contains(&chapter(number)))
    }

    /// Notes what a page names that is not there, and the lesson's programs that its page does not name.
    pub fn check_page(&self, path: &Path, page: &Page, blocks: &[Block], found: &mut Found) {
        let typed = blocks.iter().filter(|block| !block.is_included());
        let typed = typed.map(|block| (block.content.as_str(), block.first));
        let spoken = page.code.iter().map(|(code, line)| (code.as_str(), *line));
        let all: Vec<_> = spoken.chain(typed).collect();
        let mut named = BTreeSet::new();
        for (code, line) in &all {
            let words: Vec<_> = code.split_whitespace().collect();
            if let Err(what) = self.check_command(&words) {
                found.at(*line, what);
            }
            named.extend(words);
        }
        if page.planned {
            return;
        }
        let lesson = self.lessons.iter().find(|(_, lesson)| lesson.page == path);
        if let Some((package, lesson)) = lesson {
            for program in &lesson.programs {
                if !named.contains(program.as_str()) {
                    found.at(
                        1,
                        format!("`{program}` of {package} is not named on its page"),
                    );
                }
            }
        } else if self.is_lesson(path) {
            found.at(
                1,
                "a chapter without a directory of this name in chapters/; one without programs is named in README.md",
            );
        }
    }

    /// What is wrong with a command, or a name, in the text.
    fn check_command(&self, words: &[&str]) -> Result<(), String> {
        for (index, word) in words.iter().enumerate() {
            if word.starts_with("scripts/") && !self.scripts.contains(*word) {
                return Err(format!("there is no `{word}`"));
            }
            let of = index.checked_sub(1).map_or("", |before| words[before]);
            let known = match of {
                "scripts/exercise" => self.study.has_exercise(word),
                "" => self.study.has_exercise(word) || self.experiments.contains(*word),
                _ => self.experiments.contains(*word),
            };
            if is_id(word) && !known {
                let what = match of {
                    "scripts/exercise" => "exercise",
                    _ => "experiment",
                };
                return Err(format!("there is no {what} `{word}`"));
            }
            let of_cargo = words[0] == "cargo" && index > 0;
            if of_cargo && ["-p", "--package"].contains(&words[index - 1]) {
                if !self.packages.contains(*word) {
                    return Err(format!("there is no package `{word}`"));
                }
                let rest = words[index..].iter().position(|word| *word == "--");
                let program = rest.and_then(|rest| words.get(index + rest + 1));
                self.check_program(word, program.copied())?;
            }
        }
        match words {
            [package, program, ..] => self.check_program(package, Some(program)),
            _ => Ok(()),
        }
    }

    /// Whether a word after a lesson's name is one of its programs. An option is none, and a path is not meant as one.
    fn check_program(&self, package: &str, program: Option<&str>) -> Result<(), String> {
        let (Some(lesson), Some(program)) = (self.lessons.get(package), program) else {
            return Ok(());
        };
        if program.starts_with('-') || lesson.programs.iter().any(|known| known == program) {
            return Ok(());
        }
        Err(format!("{package} has no program `{program}`"))
    }
}

/// Whether a word has the form of an experiment's id: a chapter, a slash and a name.
fn is_id(word: &str) -> bool {
    let Some((chapter, name)) = word.split_once('/') else {
        return false;
    };
    let number = !chapter.is_empty() && chapter.bytes().all(|byte| byte.is_ascii_digit());
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (number || chapter == "midterm")
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_package_its_programs_and_a_number() {
        let readme = "# T\n\n| lesson | programs | experiments |\n|---|---|---|\n| `chap-2` client | `a` `b-c` | 3 |\n";
        let row = Row {
            package: "chap-2".into(),
            programs: vec!["a".into(), "b-c".into()],
            experiments: Some(3),
            line: 5,
        };
        assert_eq!(rows(readme), [row]);
        assert!(rows("| `crates/common/` | what the lessons share |\n").is_empty());
    }

    #[test]
    fn chapters_without_programs_are_named() {
        let readme = "x\n\nChapters 1 and 09 are pages of the book without programs.\n";
        assert_eq!(without(readme), ["1".into(), "9".into()].into());
        assert!(without("x\n").is_empty());
    }

    #[test]
    fn what_looks_like_an_experiment() {
        for id in ["11/close", "4/three-resets", "midterm/transcript"] {
            assert!(is_id(id), "{id}");
        }
        for other in [
            "10.0.0.0/8",
            "172/12",
            "a/b",
            "1/2",
            "0/1/2",
            "11/",
            "11/Close",
        ] {
            assert!(!is_id(other), "{other}");
        }
    }
}
