//! The questions that close the course's lessons, and which of them the book answers.
//!
//! `docs/questions.toml` lists them. A page that is written answers all of its own, and an answer that can be run names
//! the experiment or the program that shows it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::links::Pages;
use crate::tree::Tree;
use crate::{Found, line_of};

/// The list, as it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Questions {
    /// One table per question.
    #[serde(default)]
    pub question: Vec<Expected>,
}

/// A question of the course.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Its id on the page: `q-11-1`.
    pub id: Spanned<String>,
    /// The page that answers it, in `docs/src`.
    pub page: PathBuf,
    /// The question, in our words.
    pub asks: String,
    /// The experiments (`11/close`) and programs that answer it; the page's answer names each. Empty where words do.
    #[serde(default)]
    pub shown_by: Vec<String>,
}

/// Reads the list.
pub fn read(text: &str, found: &mut Found) -> Questions {
    match toml::from_str::<Questions>(text) {
        Ok(list) => list,
        Err(error) => {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            found.at(line, error.message());
            Questions::default()
        }
    }
}

/// Notes what is wrong with the list itself.
pub fn check_list(list: &Questions, text: &str, pages: &Pages, tree: &Tree, found: &mut Found) {
    let mut known = HashMap::new();
    for expected in &list.question {
        let line = line_of(text, expected.id.span().start);
        let id = expected.id.get_ref();
        if let Some(first) = known.insert(id, line) {
            found.at(line, format!("`{id}` is listed already, in line {first}"));
        }
        if !pages.contains_key(&expected.page) {
            found.at(line, format!("`{id}`: no page {}", expected.page.display()));
        }
        if expected.asks.trim().is_empty() {
            found.at(line, format!("`{id}` asks nothing"));
        }
        for name in &expected.shown_by {
            if !tree.shows(name) {
                found.at(
                    line,
                    format!(
                        "`{id}` is shown by `{name}`, which is neither an experiment nor a program"
                    ),
                );
            }
        }
    }
}

/// Notes the questions of a written page that it does not answer, and counts those that it does.
pub fn check_page(path: &Path, list: &Questions, pages: &Pages, found: &mut Found) -> usize {
    let Some(page) = pages.get(path) else {
        return 0;
    };
    let mut answered = 0;
    for expected in list.question.iter().filter(|known| known.page == path) {
        let id = expected.id.get_ref();
        let Some(given) = page.questions.iter().find(|given| given.id == *id) else {
            if !page.planned {
                let asks = &expected.asks;
                found.at(1, format!("question `{id}` is not answered: {asks}"));
            }
            continue;
        };
        let written = |text: &str| text.contains(char::is_alphanumeric);
        if !written(&given.asked) {
            found.at(given.line, format!("question `{id}` has no <summary>"));
        } else if !written(&given.answer) {
            found.at(given.line, format!("question `{id}` has an empty answer"));
        } else {
            answered += 1;
        }
        for name in &expected.shown_by {
            if !given.answer.contains(name.as_str()) {
                found.at(
                    given.line,
                    format!("the answer to `{id}` does not name `{name}`, which shows it"),
                );
            }
        }
    }
    for given in &page.questions {
        let known =
            |expected: &Expected| expected.id.get_ref() == &given.id && expected.page == path;
        if !given.id.is_empty() && !list.question.iter().any(known) {
            found.at(
                given.line,
                format!(
                    "question `{}` is not in docs/questions.toml for this page",
                    given.id
                ),
            );
        }
    }
    answered
}
