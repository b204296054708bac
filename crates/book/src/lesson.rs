//! The sections that every lesson's page has, in their order. `docs/src/contributing.md` says what goes into each.

use crate::Found;
use crate::page::Page;

/// The headings of the second level on a lesson's page. What else a page needs stands below them, on the third.
pub const SECTIONS: [&str; 10] = [
    "The question",
    "Predict",
    "Run",
    "Observe",
    "Explain",
    "The code",
    "Break it",
    "Where systems differ",
    "Exercises",
    "Answers",
];

/// Notes what a lesson's page lacks.
pub fn check(page: &Page, found: &mut Found) {
    if !page.classes.contains("facts") {
        found.at(
            1,
            "a lesson begins with its facts: <div class=\"facts\">, minutes, prerequisites, man pages",
        );
    }
    let sections = page.headings.iter().filter(|(level, ..)| *level == 2);
    let mut before = None;
    for (_, text, line) in sections {
        let place = SECTIONS.iter().position(|section| section == text);
        if place.is_none() {
            found.at(
                *line,
                format!("`{text}` is not a section of a lesson: make it a ### below one of them"),
            );
        } else if place <= before {
            found.at(*line, format!("`{text}` is out of order, or stands twice"));
        } else {
            before = place;
        }
    }
    for section in SECTIONS {
        if !page
            .headings
            .iter()
            .any(|(level, text, _)| *level == 2 && text == section)
        {
            found.at(1, format!("no section `{section}`"));
        }
    }
}
