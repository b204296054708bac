//! The claims for a page of the book.

use super::words::{clean, kernel, mark, verdict};
use crate::record::{Claim, Record, Verdict};

/// See [`super::claims_markdown`].
pub(super) fn claims(record: &Record) -> String {
    let mut out = String::new();
    for claim in &record.claims {
        let strong = if claim.central { "**" } else { "" };
        let sentence = escape(&claim.sentence);
        out.push_str(&format!(
            "- {} {strong}{sentence}{strong}{}\n",
            mark(claim.verdict),
            seen(claim)
        ));
    }
    format!("{out}\n*{} · {}*\n", verdict(record), kernel(record))
}

fn seen(claim: &Claim) -> String {
    let lines: Vec<String> = claim
        .seen
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(escape)
        .collect();
    if claim.verdict == Verdict::Holds || lines.is_empty() {
        return String::new();
    }
    format!("<br>*seen:* {}", lines.join("<br>"))
}

/// Everything that Markdown, HTML or mdbook would take for its own is escaped.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in clean(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '{' => out.push_str("&#123;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '>' | '#' | '|' | '~' | '$' | '!' => {
                out.extend(['\\', c])
            }
            c => out.push(c),
        }
    }
    out
}
