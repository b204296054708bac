//! Checks the pages in `docs/` and builds them into a book.
//!
//! mdBook renders; what it lets pass is checked here first, page by page and line by line. A book that is wrong is not
//! built. The rules are listed for writers in `docs/src/contributing.md`.
//!
//! | module | what it knows |
//! |---|---|
//! | [`blocks`] | which code blocks a page may have |
//! | [`include`] | `{{#include}}`: code from the sources, runs from the lab |
//! | [`html`] | the tags in a piece of HTML |
//! | [`page`] | what one page holds: headings, anchors, links, questions |
//! | [`links`] | where the links of all pages lead |
//! | [`summary`] | the table of contents and the pages that it lists |
//! | [`questions`] | the course's questions, and which of them are answered |
//! | [`lesson`] | the facts and sections that every lesson's page has |
//! | [`tree`] | the lessons, programs and experiments, all of which the pages show |
//! | [`study`] | the exercises of a page's chapter, with their answers, and its quiz |
//! | [`glossary`] | the terms, and whether a page links them where it first uses them |
//! | [`check`] | all of it together |
//! | [`render`] | mdBook |

pub mod blocks;
pub mod check;
pub mod glossary;
pub mod html;
pub mod include;
pub mod lesson;
pub mod links;
pub mod page;
pub mod questions;
pub mod render;
pub mod study;
pub mod summary;
pub mod tree;

use std::fmt;

pub use check::{Book, check};
pub use render::render;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, relative to the directory that holds `docs/`.
    pub file: String,
    /// The line in it, from 1.
    pub line: usize,
    /// What is wrong, in a sentence that says how to mend it where that is not plain.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// The problems of one file, as they are found: line and sentence.
#[derive(Debug, Default, Clone)]
pub struct Found(Vec<(usize, String)>);

impl Found {
    /// Notes what is wrong in this line, counted from 1.
    pub fn at(&mut self, line: usize, what: impl Into<String>) {
        self.0.push((line, what.into()));
    }

    /// The same, as problems of this file.
    pub fn of(self, file: &str) -> impl Iterator<Item = Problem> {
        let file = file.to_owned();
        self.0.into_iter().map(move |(line, what)| Problem {
            file: file.clone(),
            line,
            what,
        })
    }
}

/// The line, from 1, in which this byte of the text stands.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset]
        .iter()
        .filter(|&&byte| byte == b'\n')
        .count()
        + 1
}
