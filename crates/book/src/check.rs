//! Reads the whole book and says what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::include::{Expanded, Place};
use crate::links::Pages;
use crate::study::Written;
use crate::{
    Found, Problem, blocks, glossary, include, lesson, links, page, questions, summary, tree,
};

/// A book, read and checked.
#[derive(Debug)]
pub struct Book {
    /// Its directory, absolute: `docs/`.
    pub docs: PathBuf,
    /// The pages by their path in `docs/src`.
    pub pages: Pages,
    /// What mdBook is to render: the pages with everything included.
    pub text: BTreeMap<PathBuf, Expanded>,
    /// The pages that are still to be written, in the order of the table of contents.
    pub planned: Vec<PathBuf>,
    /// How many questions are answered.
    pub answered: usize,
    /// How many there are.
    pub questions: usize,
    /// What is wrong, in the order of files and lines.
    pub problems: Vec<Problem>,
}

/// Reads and checks the book in this directory. Its parent is the workspace from which its pages include.
pub fn check(docs: &Path) -> anyhow::Result<Book> {
    let docs = fs::canonicalize(docs).with_context(|| format!("open {}", docs.display()))?;
    let root = docs.parent().context("docs/ has no parent")?.to_owned();
    let sources = docs.join("src");
    let mut problems = Vec::new();

    let mut found = Found::default();
    let table = read(&sources.join("SUMMARY.md"))?;
    let listed = summary::listed(&table, &sources, &mut found);
    problems.extend(found.of("docs/src/SUMMARY.md"));

    let runs = docs.join(include::RUNS);
    let mut found = Found::default();
    let tree = tree::read(&root, &runs, &mut found)?;
    problems.extend(found.of("README.md"));

    let mut pages = Pages::new();
    let mut text = BTreeMap::new();
    let mut written = BTreeMap::new();
    let parts = [runs.clone(), docs.join(include::MEASURED)];
    let present = summary::present(&sources, &parts)
        .with_context(|| format!("list {}", sources.display()))?;
    for path in &present {
        let mut found = Found::default();
        if !listed.contains(path) {
            found.at(1, "this page is not in SUMMARY.md");
        }
        let source = read(&sources.join(path))?;
        let blocks = blocks::blocks(&source, &mut found);
        let beside = path.parent().unwrap_or(Path::new(""));
        let place = Place {
            root: &root,
            docs: &docs,
            here: &sources.join(beside),
        };
        let expanded = include::expand(&source, &blocks, place, &mut found);
        pages.insert(path.clone(), page::read(&source, &expanded, &mut found));
        text.insert(path.clone(), expanded);
        written.insert(path.clone(), (source, blocks));
        problems.extend(found.of(&name(path)));
    }
    for path in &present {
        if !listed.contains(path) {
            // It is no page of the book: a link to it leads nowhere.
            pages.remove(path);
            text.remove(path);
        }
    }

    let mut found = Found::default();
    let toml = read(&docs.join("questions.toml"))?;
    let list = questions::read(&toml, &mut found);
    questions::check_list(&list, &toml, &pages, &tree, &mut found);
    problems.extend(found.of("docs/questions.toml"));

    let included = text.values().flat_map(|text| &text.includes);
    let included: BTreeSet<_> = included.map(|(file, _)| root.join(file)).collect();
    let mut found = Found::default();
    tree.check_shown(&included, &runs, &mut found);
    problems.extend(found.of("docs/src/lab"));

    let mut found = Found::default();
    let terms = match written.get(Path::new(glossary::PAGE)) {
        Some((source, _)) => glossary::read(source, &mut found),
        None => Vec::new(),
    };
    problems.extend(found.of(&name(Path::new(glossary::PAGE))));

    let mut found = Found::default();
    tree.study.check_files(&root, &mut found);
    problems.extend(found.of("exercises"));

    let mut answered = 0;
    for (path, page) in &pages {
        let mut found = Found::default();
        links::check(path, page, &pages, &sources, &mut found);
        answered += questions::check_page(path, &list, &pages, &mut found);
        check_page(page, &text[path], &mut found);
        let (source, blocks) = &written[path];
        tree.check_page(path, page, blocks, &mut found);
        let as_written = Written {
            source,
            blocks,
            expanded: &text[path],
            page,
        };
        let chapter = tree.chapter(path).filter(|_| !page.planned);
        tree.study
            .check_page(chapter.as_deref(), as_written, &mut found);
        if !page.planned && tree::is_chapter(path) {
            lesson::check_facts(source, &mut found);
            glossary::check_page(source, &terms, &mut found);
            if tree.is_lesson(path) {
                lesson::check(page, &mut found);
            }
        }
        problems.extend(found.of(&name(path)));
    }
    problems.sort();
    let planned = |path: &PathBuf| pages.get(path).is_some_and(|page| page.planned);
    Ok(Book {
        planned: listed
            .iter()
            .filter(|path| planned(path))
            .cloned()
            .collect(),
        docs,
        pages,
        text,
        answered,
        questions: list.question.len(),
        problems,
    })
}

/// What holds for every page.
fn check_page(page: &page::Page, expanded: &Expanded, found: &mut Found) {
    let mut titles = page.headings.iter().filter(|(level, ..)| *level == 1);
    if titles.next().is_none() {
        found.at(1, "a page begins with its title: # …");
    }
    for (_, text, line) in titles {
        found.at(*line, format!("`{text}`: a second title on one page"));
    }
    let unwritten = expanded.text.to_lowercase().find("not written yet");
    if let Some(offset) = unwritten.filter(|_| !page.planned) {
        let status = page::PLANNED;
        found.at(
            expanded.line_of(offset),
            format!("a page that is not written yet has `{status}` on its first line"),
        );
    }
}

fn name(path: &Path) -> String {
    format!("docs/src/{}", path.display())
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}
