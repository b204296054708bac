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

/// What the box of facts at the head of a chapter says, in this order. More may follow.
const FACTS: [&str; 3] = ["Minutes", "Before this", "Man pages"];

/// Notes what is missing in the box of facts at the head of a chapter's page.
pub fn check_facts(source: &str, found: &mut Found) {
    let mut lines = (1..).zip(source.lines());
    let Some((start, _)) = lines.find(|(_, line)| *line == r#"<div class="facts">"#) else {
        found.at(
            1,
            "a chapter begins with its facts: <div class=\"facts\">, minutes, what to read before, man pages",
        );
        return;
    };
    if source
        .lines()
        .take(start)
        .any(|line| line.starts_with("## "))
    {
        found.at(start, "the facts stand before the first section");
    }
    let fact = |line: &str| {
        let (name, value) = line.strip_prefix("- **")?.split_once(":** ")?;
        Some((name.to_owned(), value.to_owned()))
    };
    let facts: Vec<_> = lines
        .take_while(|(_, line)| *line != "</div>")
        .filter_map(|(_, line)| fact(line))
        .collect();
    for (index, name) in FACTS.iter().enumerate() {
        let value = facts.get(index).filter(|(known, _)| known == name);
        let is_good = value.is_some_and(|(_, value)| match *name {
            "Minutes" => value.parse::<u32>().is_ok_and(|minutes| minutes > 0),
            _ => value.contains(char::is_alphabetic),
        });
        if !is_good {
            found.at(
                start,
                format!(
                    "fact {} is `- **{name}:** …`{}",
                    index + 1,
                    match *name {
                        "Minutes" => ", a number",
                        _ => "",
                    }
                ),
            );
        }
    }
}

/// Notes the sections that a lesson's page lacks, or has in another order.
pub fn check(page: &Page, found: &mut Found) {
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
