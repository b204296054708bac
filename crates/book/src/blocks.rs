//! Which code blocks a page may have: what is shown is included from the sources or written by a run of the lab, so
//! that it cannot drift. The one exception is a command for the reader to type.

use mdbook_markdown::pulldown_cmark::{CodeBlockKind, Event, Tag, TagEnd};

use crate::{Found, line_of, page};

/// Languages of a block that holds one command line to type.
const TYPED: [&str; 2] = ["sh", "console"];

/// A fenced code block of a page, as the page's writer wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The marks that open it: three backticks or more.
    pub fence: String,
    /// The first word behind the fence, or nothing.
    pub language: String,
    /// The line of the opening fence.
    pub first: usize,
    /// The line of the closing fence.
    pub last: usize,
    /// What stands between the fences.
    pub content: String,
}

impl Block {
    fn lines(&self) -> impl Iterator<Item = &str> {
        self.content
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    }

    /// Whether it holds include directives and nothing else.
    pub fn is_included(&self) -> bool {
        self.lines().next().is_some() && self.lines().all(|line| line.starts_with("{{#include "))
    }

    /// Whether it holds one command to type.
    fn is_typed(&self) -> bool {
        let lines: Vec<_> = self.lines().collect();
        TYPED.contains(&self.language.as_str()) && lines.len() == 1 && !lines[0].ends_with('\\')
    }
}

/// The fenced code blocks of a page's source; what may not stand there is noted.
pub fn blocks(source: &str, found: &mut Found) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (event, range) in page::parser(source, None).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                let first = line_of(source, range.start);
                let end = source[..range.end].trim_end().len();
                if let CodeBlockKind::Fenced(info) = kind {
                    let marks = source[range.start..].trim_start().chars();
                    open = Some(Block {
                        fence: marks.take_while(|c| "`~".contains(*c)).collect(),
                        language: info.split([' ', ',']).next().unwrap_or_default().to_owned(),
                        first,
                        last: line_of(source, end),
                        content: String::new(),
                    });
                }
            }
            Event::Text(text) => {
                if let Some(block) = &mut open {
                    block.content.push_str(&text);
                }
            }
            Event::End(TagEnd::CodeBlock) => blocks.extend(open.take()),
            _ => {}
        }
    }
    for block in &blocks {
        if !block.is_included() && !block.is_typed() {
            found.at(
                block.first,
                "a code block that is neither included nor generated: use {{#include …}}, or ```sh with the one command \
                 line that the reader is to type",
            );
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(source: &str) -> usize {
        let mut found = Found::default();
        blocks(source, &mut found);
        found.0.len()
    }

    #[test]
    fn what_is_included_or_typed_may_stand() {
        assert_eq!(complaints("```rust\n{{#include ../../a.rs:x}}\n```\n"), 0);
        assert_eq!(
            complaints("```text\n{{#include ../a.txt}}\n{{#include ../b.txt}}\n```\n"),
            0
        );
        assert_eq!(complaints("```sh\ncargo run -p chap-11\n```\n"), 0);
        assert_eq!(complaints("- so:\n\n  ```console\n  lab list\n  ```\n"), 0);
    }

    #[test]
    fn literal_text_may_not() {
        assert_eq!(complaints("```rust\nlet x = 1;\n```\n"), 1);
        assert_eq!(complaints("```\n\n```\n"), 1);
        assert_eq!(complaints("```sh\ncd x\nls\n```\n"), 1);
        assert_eq!(complaints("```sh\ncd \\\n```\n"), 1);
        assert_eq!(complaints("```text\n{{#include a}}\nand more\n```\n"), 1);
    }

    #[test]
    fn lines_are_those_of_the_fences() {
        let mut found = Found::default();
        let blocks = blocks("a\n\n```sh\nls\n```\nb\n", &mut found);
        assert_eq!((blocks[0].first, blocks[0].last), (3, 5));
    }
}
