//! `{{#include PATH}}` and `{{#include PATH:ANCHOR}}`: code from the sources, output and ladders from runs.
//!
//! mdBook has the same directive, but shows a reader a hole where a file or an anchor is missing, and leaves code that
//! was cut from the middle of a function indented. So it is done here, and mdBook is given the finished text.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::Found;
use crate::blocks::Block;

/// Where the lab writes what its runs showed, in the book's directory: parts of pages.
pub const RUNS: &str = "src/lab";

/// Where the benchmark writes what it has measured: tables and plots.
pub const MEASURED: &str = "src/bench";

/// Where drawings are that no run can make.
const PICTURES: &str = "pictures";

/// A page with everything included.
#[derive(Debug, Default)]
pub struct Expanded {
    /// The Markdown that mdBook gets.
    pub text: String,
    /// For each line of it, the line of the page that it comes from.
    origin: Vec<usize>,
    /// And where in the text it begins.
    starts: Vec<usize>,
    /// The files that were included, by their paths in the workspace, with the line of the directive.
    pub includes: Vec<(PathBuf, usize)>,
}

impl Expanded {
    fn push(&mut self, line: &str, origin: usize) {
        self.starts.push(self.text.len());
        self.text.push_str(line);
        self.text.push('\n');
        self.origin.push(origin);
    }

    /// The line of the page to which this byte of the text belongs.
    pub fn line_of(&self, offset: usize) -> usize {
        // A page with its runs is large, and this is asked for each of its pieces.
        let line = self.starts.partition_point(|start| *start <= offset);
        let origin = line.checked_sub(1).and_then(|line| self.origin.get(line));
        origin.copied().unwrap_or(1)
    }
}

/// Where a page stands, and what it may include from.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The directory that holds `docs/`: the workspace.
    pub root: &'a Path,
    /// The book's directory.
    pub docs: &'a Path,
    /// The page's own directory, to which its paths are relative.
    pub here: &'a Path,
}

/// The page with its directives carried out. What cannot be included is noted, and left out.
pub fn expand(source: &str, blocks: &[Block], place: Place, found: &mut Found) -> Expanded {
    let mut expanded = Expanded::default();
    for (number, line) in (1..).zip(source.lines()) {
        let block = blocks
            .iter()
            .find(|block| (block.first..=block.last).contains(&number));
        if let Some(block) = block
            && number == block.first
            && line.starts_with("```")
            && let Some(caption) = caption(block, place)
        {
            for line in ["", &caption, ""] {
                expanded.push(line, number);
            }
        }
        let Some(directive) = directive(line) else {
            expanded.push(&line.replace(r"\{{#", "{{#"), number);
            continue;
        };
        let indent = &line[..line.len() - line.trim_start().len()];
        match directive.and_then(|target| included(&target, block.is_some(), place)) {
            Ok((name, lines)) => {
                expanded.includes.push((name, number));
                let ends_it = |line: &String| {
                    block.is_some_and(|block| line.trim_start().starts_with(&block.fence))
                };
                if lines.iter().any(ends_it) {
                    found.at(
                        number,
                        "what is included ends the code block: give it a longer fence",
                    );
                }
                for line in lines {
                    let line = format!("{indent}{line}");
                    expanded.push(line.trim_end(), number);
                }
            }
            Err(what) => found.at(number, what),
        }
    }
    expanded
}

/// What a directive asks for.
struct Target {
    path: String,
    anchor: Option<String>,
}

/// The directive in this line, if there is one that is not escaped with a backslash.
fn directive(line: &str) -> Option<Result<Target, String>> {
    let at = line
        .match_indices("{{#")
        .map(|(at, _)| at)
        .find(|&at| !line[..at].ends_with('\\'))?;
    let alone = line.trim();
    let inner = alone
        .strip_prefix("{{#include ")
        .and_then(|rest| rest.strip_suffix("}}"))
        .map(str::trim)
        .filter(|inner| !inner.contains("{{") && !inner.contains(' ') && !inner.is_empty());
    let Some(inner) = inner else {
        return Some(Err(format!(
            "`{}`: only {{{{#include PATH}}}} and {{{{#include PATH:ANCHOR}}}} are known, on a line of their own",
            line[at..].trim()
        )));
    };
    Some(match inner.split_once(':') {
        None => Ok(Target {
            path: inner.to_owned(),
            anchor: None,
        }),
        Some((_, anchor)) if !is_name(anchor) || anchor.bytes().all(|b| b.is_ascii_digit()) => Err(
            format!("`{inner}`: name an anchor; line numbers drift when the source changes"),
        ),
        Some((path, anchor)) => Ok(Target {
            path: path.to_owned(),
            anchor: Some(anchor.to_owned()),
        }),
    })
}

fn is_name(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    !text.is_empty() && text.bytes().all(known)
}

/// The file that a directive names, by its path in the workspace, and the lines that the directive stands for.
fn included(
    target: &Target,
    in_block: bool,
    place: Place,
) -> Result<(PathBuf, Vec<String>), String> {
    let path = normal(&place.here.join(&target.path));
    let Ok(file) = path.strip_prefix(place.root) else {
        return Err(format!("`{}` is outside the workspace", target.path));
    };
    let name = file.display().to_string();
    let run = path.strip_prefix(place.docs.join(RUNS)).ok();
    let parts = [RUNS, MEASURED, PICTURES];
    if !in_block
        && !parts
            .iter()
            .any(|part| path.starts_with(place.docs.join(part)))
    {
        return Err(format!(
            "`{name}` outside a code block: only docs/{RUNS}, docs/{MEASURED} and docs/{PICTURES} may be included there"
        ));
    }
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            let remedy = run.map(|file| file.with_extension("").display().to_string());
            let remedy = remedy.map_or(String::new(), |file| {
                // lab/11-close.md is what 11/close showed.
                let id = file.replacen('-', "/", 1);
                format!("; `cargo run -p lab -- render {id}` writes it")
            });
            return Err(format!("include of `{name}`: {error}{remedy}"));
        }
    };
    let mut lines: Vec<&str> = match &target.anchor {
        Some(anchor) => between(&text, anchor).map_err(|what| format!("`{name}`: {what}"))?,
        None => text.lines().filter(|line| marker(line).is_none()).collect(),
    };
    if !in_block {
        keep_svg_whole(&mut lines);
    }
    while lines.last().is_some_and(|line| line.trim().is_empty()) {
        lines.pop();
    }
    let blank = lines.iter().take_while(|line| line.trim().is_empty());
    lines.drain(..blank.count());
    if lines.is_empty() {
        return Err(match &target.anchor {
            Some(anchor) => format!("`{name}`: nothing stands between the marks of `{anchor}`"),
            None => format!("`{name}` is empty"),
        });
    }
    let lines = if target.anchor.is_some() {
        without_indent(&lines)
    } else {
        lines.into_iter().map(str::to_owned).collect()
    };
    Ok((file.to_owned(), lines))
}

/// In Markdown a blank line ends a block of HTML, and the XML declaration has no place inside a page.
fn keep_svg_whole(lines: &mut Vec<&str>) {
    let mut inside = false;
    lines.retain(|line| {
        inside = (inside || line.contains("<svg")) && !line.contains("</svg>");
        let ends_html = inside && line.trim().is_empty();
        !ends_html && !line.starts_with("<?xml")
    });
}

/// The lines between `ANCHOR: name` and `ANCHOR_END: name`, without the marks of other anchors.
fn between<'a>(text: &'a str, anchor: &str) -> Result<Vec<&'a str>, String> {
    let marks = |wanted: Mark| {
        text.lines()
            .enumerate()
            .filter(move |(_, line)| marker(line) == Some((wanted, anchor)))
            .map(|(index, _)| index)
            .collect::<Vec<_>>()
    };
    match (marks(Mark::Begin).as_slice(), marks(Mark::End).as_slice()) {
        ([begin], [end]) if begin < end => Ok(text
            .lines()
            .take(*end)
            .skip(begin + 1)
            .filter(|line| marker(line).is_none())
            .collect()),
        ([], _) => Err(format!("no anchor `{anchor}`")),
        ([_], []) => Err(format!("anchor `{anchor}` has no ANCHOR_END")),
        _ => Err(format!(
            "anchor `{anchor}` stands there more than once, or ends before it begins"
        )),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Begin,
    End,
}

/// The mark of an anchor in a line of source, if the line is one: a comment that begins with it.
fn marker(line: &str) -> Option<(Mark, &str)> {
    let comment = line
        .trim_start()
        .trim_start_matches(['/', '#', ';', '<', '!', '-']);
    let comment = comment.trim_start();
    let (mark, rest) = if let Some(rest) = comment.strip_prefix("ANCHOR_END:") {
        (Mark::End, rest)
    } else {
        (Mark::Begin, comment.strip_prefix("ANCHOR:")?)
    };
    let name = rest.split_whitespace().next()?;
    is_name(name).then_some((mark, name))
}

/// Code cut from the middle of a function, moved to the left margin.
fn without_indent(lines: &[&str]) -> Vec<String> {
    let margin = lines
        .iter()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or(0);
    lines
        .iter()
        .map(|line| line.get(margin..).unwrap_or_default().to_owned())
        .collect()
}

/// A line above a block of code that says which file it is from. What a run printed is named by the page's text.
fn caption(block: &Block, place: Place) -> Option<String> {
    let mut names = Vec::new();
    for line in block.content.lines() {
        let path = normal(&place.here.join(directive(line)?.ok()?.path));
        if path.starts_with(place.docs) {
            return None;
        }
        let name = path.strip_prefix(place.root).ok()?.display().to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    (!names.is_empty()).then(|| format!(r#"<div class="source">{}</div>"#, names.join(", ")))
}

/// The path without `.` and `..`, by its spelling alone.
pub fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
fn main() {
    // ANCHOR: whole
    let a = 1;
    // ANCHOR: part
    if a == 1 {
        print();
    }
    // ANCHOR_END: part
    // ANCHOR_END: whole
}
// ANCHOR: open
// ANCHOR: void
// ANCHOR_END: void
";

    #[test]
    fn a_part_is_moved_to_the_margin_and_loses_its_marks() {
        let lines = between(SOURCE, "whole").unwrap();
        assert_eq!(
            without_indent(&lines),
            ["let a = 1;", "if a == 1 {", "    print();", "}"]
        );
    }

    #[test]
    fn marks_that_do_not_pair_are_errors() {
        assert!(between(SOURCE, "none").unwrap_err().contains("no anchor"));
        assert!(between(SOURCE, "open").unwrap_err().contains("ANCHOR_END"));
        assert!(between(SOURCE, "void").unwrap().is_empty());
        let twice = "// ANCHOR: a\n1\n// ANCHOR_END: a\n".repeat(2);
        assert!(between(&twice, "a").unwrap_err().contains("more than once"));
    }

    #[test]
    fn a_mark_is_a_comment_of_its_own() {
        assert_eq!(marker("    // ANCHOR: a_b-1"), Some((Mark::Begin, "a_b-1")));
        assert_eq!(marker("# ANCHOR_END: a"), Some((Mark::End, "a")));
        assert_eq!(marker(r#"let text = "// ANCHOR: a";"#), None);
        assert_eq!(marker("//! `// ANCHOR: name` around the parts"), None);
    }

    #[test]
    fn other_directives_are_refused_and_escaped_ones_are_text() {
        assert!(directive("plain").is_none());
        assert!(directive(r"`\{{#include a}}`").is_none());
        assert!(matches!(directive("{{#include a.rs:b}}"), Some(Ok(_))));
        for wrong in [
            "see {{#include a}}",
            "{{#include a:3}}",
            "{{#include a:3:9}}",
            "{{#playground a}}",
            "{{#include }}",
        ] {
            assert!(matches!(directive(wrong), Some(Err(_))), "{wrong}");
        }
    }
}
