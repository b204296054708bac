//! The glossary's terms, and whether a page links each of them where it first uses it.
//!
//! A term is a `<dfn id="fin">FIN</dfn> (结束标志)` in `glossary.md`. Some terms are words of every day as well, such as
//! "window": those have `class="everyday"`, and no page is searched for them.

use mdbook_markdown::pulldown_cmark::{Event, Tag as Mark, TagEnd};

use crate::html::{self, Piece};
use crate::{Found, line_of, page};

/// The page in `docs/src` that has the terms.
pub const PAGE: &str = "glossary.md";

/// What stands for a name in code, which is never a use of a term.
const CODE: char = '\u{fffc}';

/// A term of the glossary.
#[derive(Debug, PartialEq, Eq)]
pub struct Term {
    /// Its anchor on the page.
    pub id: String,
    /// How it is written. A state may have two names in one entry.
    pub names: Vec<String>,
}

/// Reads the terms that pages have to link; a term without a Chinese name is noted.
pub fn read(source: &str, found: &mut Found) -> Vec<Term> {
    let mut terms = Vec::new();
    let pieces = html::pieces(source);
    for (index, piece) in pieces.iter().enumerate() {
        let Piece::Tag(tag) = piece else { continue };
        if tag.name != "dfn" || tag.closes {
            continue;
        }
        let (Some(id), [_, Piece::Text(name), Piece::Tag(_), Piece::Text(rest), ..]) =
            (tag.attribute("id"), &pieces[index..])
        else {
            found.at(
                line_of(source, tag.offset),
                "a term is <dfn id=\"…\">name</dfn> (中文名). and what it is",
            );
            continue;
        };
        let in_brackets = rest
            .strip_prefix(" (")
            .and_then(|rest| rest.split_once(')'));
        if !in_brackets.is_some_and(|(name, _)| name.contains(is_chinese)) {
            found.at(
                line_of(source, tag.offset),
                format!("`{name}` has no Chinese name: put it in brackets behind </dfn>"),
            );
        }
        if !tag.has_class("everyday") {
            terms.push(Term {
                id: id.to_owned(),
                names: name.split(", ").map(str::to_owned).collect(),
            });
        }
    }
    terms
}

/// CJK Unified Ideographs.
fn is_chinese(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}

/// Notes the terms that a page uses before it links them, or without.
pub fn check_page(source: &str, terms: &[Term], found: &mut Found) {
    let prose = Prose::of(source);
    let mut uses: Vec<_> = terms
        .iter()
        .flat_map(|term| term.names.iter().map(move |name| (term, name)))
        .flat_map(|(term, name)| prose.uses(name).map(move |(start, end)| (start, end, term)))
        .collect();
    // At one place the longest name is meant: "send buffer" is no use of "buffer".
    uses.sort_by_key(|&(start, end, _)| (start, std::cmp::Reverse(end)));
    let mut reached = 0;
    uses.retain(|&(_, end, _)| {
        let is_own = end > reached;
        reached = reached.max(end);
        is_own
    });
    for term in terms {
        let target = format!("{PAGE}#{}", term.id);
        let mut own = uses.iter().filter(|(.., used)| used.id == term.id);
        let first = own.find(|&&(start, ..)| {
            let link = prose.link_around(start);
            link.is_none_or(|link| link.target == target)
        });
        let linked = prose.links.iter().find(|link| link.target == target);
        if let Some(&(start, end, _)) = first
            && linked.is_none_or(|link| start < link.start)
        {
            let name = &prose.text[start..end];
            found.at(
                prose.line_of(source, start),
                format!("`{name}` is used here first: link it, [{name}]({target})"),
            );
        }
    }
}

/// A page's text without its code, headings, facts, summaries and directives.
#[derive(Default)]
struct Prose {
    text: String,
    /// The same in small letters, byte for byte.
    small: String,
    /// Where pieces of it begin: in the text, and in the source.
    pieces: Vec<(usize, usize)>,
    links: Vec<Link>,
}

struct Link {
    start: usize,
    end: usize,
    target: String,
}

impl Prose {
    fn of(source: &str) -> Self {
        let facts = facts(source);
        let mut prose = Self::default();
        let mut in_heading = false;
        let mut in_block = false;
        for (event, range) in page::parser(source, None).into_offset_iter() {
            match event {
                Event::Start(Mark::Heading { .. }) => in_heading = true,
                Event::End(TagEnd::Heading(_)) => in_heading = false,
                Event::Start(Mark::CodeBlock(_)) => in_block = true,
                Event::End(TagEnd::CodeBlock) => in_block = false,
                _ if in_heading || in_block || facts.contains(&range.start) => {}
                Event::Text(text) if !text.starts_with("{{#") => {
                    prose.pieces.push((prose.text.len(), range.start));
                    prose.text.push_str(&text);
                }
                Event::SoftBreak | Event::HardBreak => prose.text.push(' '),
                Event::Code(_) => prose.text.push(CODE),
                Event::Start(Mark::Link { dest_url, .. }) => prose.links.push(Link {
                    start: prose.text.len(),
                    end: usize::MAX,
                    target: dest_url.into_string(),
                }),
                Event::End(TagEnd::Link) => {
                    let end = prose.text.len();
                    if let Some(link) = prose.links.last_mut() {
                        link.end = end;
                    }
                }
                Event::End(TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough) => {}
                // A term does not go on in the next paragraph or cell.
                Event::End(_) => prose.text.push('\n'),
                _ => {}
            }
        }
        prose.small = prose.text.to_ascii_lowercase();
        prose
    }

    /// Where a term stands, also in the plural. A term of capitals, such as ACK, is meant by capitals only.
    fn uses(&self, name: &str) -> impl Iterator<Item = (usize, usize)> {
        let capitals = !name.contains(|c: char| c.is_lowercase());
        let (text, name) = match capitals {
            true => (&self.text, name.to_owned()),
            false => (&self.small, name.to_ascii_lowercase()),
        };
        let length = name.len();
        let starts: Vec<_> = text.match_indices(&name).map(|(start, _)| start).collect();
        starts.into_iter().filter_map(move |start| {
            let rest = &text[start + length..];
            let plural = ["es", "s", ""].into_iter().find(|end| {
                let after = rest.strip_prefix(end).map(|rest| rest.chars().next());
                // eventfd(2) is a man page.
                after.is_some_and(|next| !next.is_some_and(|c| of_word(c) || c == '('))
            })?;
            let before = text[..start].chars().next_back();
            (!before.is_some_and(of_word)).then_some((start, start + length + plural.len()))
        })
    }

    fn link_around(&self, place: usize) -> Option<&Link> {
        let mut links = self.links.iter();
        links.find(|link| (link.start..link.end).contains(&place))
    }

    fn line_of(&self, source: &str, place: usize) -> usize {
        let next = self.pieces.partition_point(|(start, _)| *start <= place);
        let piece = next.checked_sub(1).and_then(|last| self.pieces.get(last));
        piece.map_or(1, |(start, offset)| line_of(source, offset + place - start))
    }
}

/// Where in the source the box of facts is.
fn facts(source: &str) -> std::ops::Range<usize> {
    let Some(start) = source.find(r#"<div class="facts">"#) else {
        return 0..0;
    };
    let length = source[start..].find("</div>").unwrap_or(0);
    start..start + length
}

/// Whether a word goes on with this: FIN is not used in FIN-WAIT-1, nor epoll in epoll_wait.
fn of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '-' || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: &str = "<dfn id=\"fin\">FIN</dfn> (结束标志). x\n\n<dfn id=\"buffer\">buffer</dfn> (缓冲区). x\n\n<dfn \
         id=\"send-buffer\">send buffer</dfn> (发送缓冲区). x\n\n<dfn id=\"window\" class=\"everyday\">window</dfn> (窗口). x\n";

    fn complaints(page: &str) -> Vec<String> {
        let mut found = Found::default();
        let terms = read(TERMS, &mut found);
        check_page(page, &terms, &mut found);
        found.of("p").map(|problem| problem.to_string()).collect()
    }

    #[test]
    fn a_term_is_linked_where_it_is_first_used() {
        assert!(complaints("A [FIN](glossary.md#fin), and a FIN.\n").is_empty());
        assert_eq!(
            complaints("# FIN\n\nOne: a FIN.\n\nA [FIN](glossary.md#fin).\n"),
            ["p:3: `FIN` is used here first: link it, [FIN](glossary.md#fin)"]
        );
        assert_eq!(complaints("Two\nFINs\n").len(), 1);
        assert!(complaints("[`close`](glossary.md#fin) sends a FIN.\n").is_empty());
    }

    #[test]
    fn what_is_no_use() {
        for page in [
            "# The FIN\n",
            "`FIN` and FIN-WAIT-1, a fin, DolFIN.\n",
            "<details><summary>FIN?</summary>\n\nx\n\n</details>\n",
            "<div class=\"facts\">\n\n- **Before this:** a FIN\n\n</div>\n",
            "See [the FIN](11-close.md), and FIN(2).\n",
            "A window.\n",
            "{{#include lab/11-FIN.md:FIN}}\n",
        ] {
            assert!(complaints(page).is_empty(), "{page}");
        }
    }

    #[test]
    fn a_longer_term_is_no_use_of_the_shorter_one() {
        assert!(complaints("A [send buffer](glossary.md#send-buffer). Send buffers.\n").is_empty());
        let both = complaints("A send\nbuffer, and another buffer.\n");
        assert_eq!(both.len(), 2, "{both:?}");
        assert!(
            both[0].starts_with("p:1: `send buffer`") || both[1].starts_with("p:1: `send buffer`")
        );
    }

    #[test]
    fn a_term_has_a_chinese_name() {
        for wrong in [
            "<dfn id=\"a\">a</dfn> (a). x\n",
            "<dfn id=\"a\">a</dfn>. x\n",
            "<dfn>a</dfn> (中). x\n",
        ] {
            let mut found = Found::default();
            read(wrong, &mut found);
            assert_eq!(found.0.len(), 1, "{wrong}");
        }
    }
}
