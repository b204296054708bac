//! What one page holds: its headings, the anchors that others may link to, its links, its answers.

use std::collections::{HashMap, HashSet};

use mdbook_markdown::pulldown_cmark::{
    BrokenLink, BrokenLinkCallback, CodeBlockKind, CowStr, Event, LinkType, Options, Parser, Tag,
    TagEnd,
};

use crate::Found;
use crate::html::{self, Piece};
use crate::include::Expanded;

/// The first line of a page that is still to be written.
pub const PLANNED: &str = "<!-- status: planned -->";

/// A page, read.
#[derive(Debug, Default)]
pub struct Page {
    /// Whether it is still to be written.
    pub planned: bool,
    /// What may stand behind a `#` in a link to this page.
    pub anchors: HashSet<String>,
    /// Level, text and line of each heading.
    pub headings: Vec<(u8, String, usize)>,
    /// What it links to, with the line. Pictures are in it too.
    pub links: Vec<(String, usize)>,
    /// Its answered questions.
    pub questions: Vec<Question>,
    /// Names and short commands in its text, `like this`, with the line.
    pub code: Vec<(String, usize)>,
}

/// A question on a page: `<details class="question" id="…"><summary>…</summary> … </details>`.
#[derive(Debug, Default)]
pub struct Question {
    /// Its id: `q-11-1`.
    pub id: String,
    /// The line where it begins.
    pub line: usize,
    /// The question, in the page's words.
    pub asked: String,
    /// The text of the answer.
    pub answer: String,
}

/// What is noticed about a link to a label that is defined nowhere.
type Broken<'a> = &'a mut Vec<(usize, String)>;

/// Hears of labels that are defined nowhere.
pub struct Labels<'a>(Broken<'a>);

impl<'input> BrokenLinkCallback<'input> for Labels<'_> {
    fn handle_broken_link(
        &mut self,
        link: BrokenLink<'input>,
    ) -> Option<(CowStr<'input>, CowStr<'input>)> {
        // [ESTABLISHED] alone is text in brackets; [text][label] is meant as a link.
        if matches!(link.link_type, LinkType::Reference | LinkType::Collapsed) {
            self.0.push((link.span.start, link.reference.to_string()));
        }
        None
    }
}

/// The parser that mdBook uses, with the options that mdBook gives it for our book.toml.
pub fn parser<'a>(text: &'a str, labels: Option<Labels<'a>>) -> Parser<'a, Labels<'a>> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES
        | Options::ENABLE_DEFINITION_LIST
        | Options::ENABLE_GFM;
    Parser::new_with_broken_link_callback(text, options, labels)
}

/// Reads a page whose includes are carried out; what is wrong within it is noted.
pub fn read(source: &str, expanded: &Expanded, found: &mut Found) -> Page {
    let mut broken = Vec::new();
    let mut reader = Reader {
        expanded,
        found,
        page: Page {
            planned: source.lines().next() == Some(PLANNED),
            ..Page::default()
        },
        taken: HashSet::new(),
        footnotes: HashMap::new(),
        heading: None,
        question: None,
        details: 0,
        in_summary: false,
        in_svg: false,
    };
    reader.status(source);
    let events = parser(&expanded.text, Some(Labels(&mut broken)));
    let mut html = (0, String::new());
    for (event, range) in events.into_offset_iter() {
        match event {
            Event::Start(Tag::HtmlBlock) => html = (range.start, String::new()),
            Event::Html(text) => html.1.push_str(&text),
            Event::End(TagEnd::HtmlBlock) => reader.html(&html.1, html.0),
            Event::InlineHtml(text) => reader.html(&text, range.start),
            event => reader.event(event, range.start),
        }
    }
    let mut page = reader.end();
    for (offset, label) in broken {
        let line = expanded.line_of(offset);
        found.at(
            line,
            format!("the label [{label}] is defined nowhere on the page"),
        );
    }
    page.links.sort_by_key(|(_, line)| *line);
    page
}

struct Reader<'a> {
    expanded: &'a Expanded,
    found: &'a mut Found,
    page: Page,
    /// Anchors that mdBook has made from headings.
    taken: HashSet<String>,
    footnotes: HashMap<String, usize>,
    heading: Option<Heading>,
    question: Option<Question>,
    /// How deep inside the question's own `<details>` we are.
    details: usize,
    in_summary: bool,
    in_svg: bool,
}

struct Heading {
    /// Nothing for the term of a definition list.
    level: Option<u8>,
    id: Option<String>,
    text: String,
    line: usize,
}

impl Reader<'_> {
    fn status(&mut self, source: &str) {
        for (line, text) in (1..).zip(source.lines()) {
            if text.trim_start().starts_with("<!-- status:") && (line, text) != (1, PLANNED) {
                self.found.at(
                    line,
                    format!("the only status is `{PLANNED}`, on the first line"),
                );
            }
        }
    }

    fn event(&mut self, event: Event, offset: usize) {
        let line = self.expanded.line_of(offset);
        match event {
            Event::Start(Tag::Heading { level, id, .. }) => {
                self.heading = Some(Heading {
                    level: Some(level as u8),
                    id: id.map(|id| id.to_string()),
                    text: String::new(),
                    line,
                });
            }
            Event::Start(Tag::DefinitionListTitle) => {
                self.heading = Some(Heading {
                    level: None,
                    id: None,
                    text: String::new(),
                    line,
                });
            }
            Event::End(TagEnd::Heading(_) | TagEnd::DefinitionListTitle) => self.end_heading(),
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                self.page.links.push((dest_url.to_string(), line));
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Indented)) => {
                self.found
                    .at(line, "a code block by indentation: use a fence (```)");
            }
            Event::Start(Tag::FootnoteDefinition(name)) => {
                self.anchor(&format!("footnote-{name}"), line);
            }
            Event::FootnoteReference(name) => {
                let count = self.footnotes.entry(name.to_string()).or_default();
                *count += 1;
                let id = format!("fr-{name}-{count}");
                self.anchor(&id, line);
                self.page.links.push((format!("#footnote-{name}"), line));
            }
            Event::Text(text) => self.text(&text),
            Event::Code(text) => {
                self.text(&text);
                self.page.code.push((text.to_string(), line));
            }
            Event::SoftBreak | Event::HardBreak => self.text("\n"),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(heading) = &mut self.heading {
            heading.text.push_str(text);
        }
        if let Some(question) = &mut self.question {
            let place = if self.in_summary {
                &mut question.asked
            } else {
                &mut question.answer
            };
            place.push_str(text);
        }
    }

    fn anchor(&mut self, id: &str, line: usize) {
        if !self.page.anchors.insert(id.to_owned()) {
            self.found
                .at(line, format!("the anchor `{id}` stands twice on this page"));
        }
    }

    fn end_heading(&mut self) {
        let Some(heading) = self.heading.take() else {
            return;
        };
        let id = heading
            .id
            .unwrap_or_else(|| unique(&id_from(&heading.text), &mut self.taken));
        self.anchor(&id, heading.line);
        if let Some(level) = heading.level {
            self.page.headings.push((level, heading.text, heading.line));
        }
    }

    fn html(&mut self, text: &str, offset: usize) {
        if let Some(link) = text
            .find("](")
            .filter(|_| !self.in_svg && !text.contains("<svg"))
        {
            self.found.at(
                self.expanded.line_of(offset + link),
                "Markdown within HTML is shown as it stands: leave a blank line before it",
            );
        }
        for piece in html::pieces(text) {
            match piece {
                Piece::Text(text) => self.text(text),
                Piece::Tag(tag) => {
                    let line = self.expanded.line_of(offset + tag.offset);
                    self.tag(&tag, line);
                }
            }
        }
    }

    fn tag(&mut self, tag: &html::Tag, line: usize) {
        if tag.name.eq_ignore_ascii_case("svg") {
            self.in_svg = !tag.closes && !tag.is_whole;
        }
        if tag.name == "summary" {
            self.in_summary = !tag.closes;
        }
        if tag.name == "details" {
            self.details(tag, line);
        }
        if tag.closes {
            return;
        }
        match tag.name {
            "pre" => self.found.at(
                line,
                "<pre> goes round the rule for code blocks: use a fence (```)",
            ),
            // A drawing brings its own style, which names it by its id.
            "style" if self.in_svg => {}
            "script" | "link" | "iframe" | "style" => self.found.at(
                line,
                format!("<{}> has no place on a page: see docs/theme", tag.name),
            ),
            _ => {}
        }
        if let Some(id) = tag.attribute("id").or(tag.attribute("name")) {
            // A drawing's own ids (arrow heads) are the same in every drawing, and nobody links to them.
            if self.in_svg {
                self.page.anchors.insert(id.to_owned());
            } else {
                self.anchor(id, line);
            }
        }
        for name in ["href", "src", "xlink:href"] {
            if let Some(target) = tag.attribute(name) {
                if name == "src" && target.contains("//") {
                    self.found.at(
                        line,
                        format!("`{target}` is on the network: the book is complete in itself"),
                    );
                }
                self.page.links.push((target.to_owned(), line));
            }
        }
    }

    fn details(&mut self, tag: &html::Tag, line: usize) {
        match &mut self.question {
            None if tag.closes => {}
            None if tag.has_class("question") => {
                let id = tag.attribute("id").unwrap_or_default().to_owned();
                if id.is_empty() {
                    self.found
                        .at(line, "a question without an id: id=\"q-CHAPTER-NUMBER\"");
                }
                self.question = Some(Question {
                    id,
                    line,
                    ..Question::default()
                });
                self.details = 1;
            }
            None => {}
            Some(_) if !tag.closes => self.details += 1,
            Some(_) => {
                self.details -= 1;
                if self.details == 0 {
                    self.page.questions.extend(self.question.take());
                }
            }
        }
    }

    fn end(self) -> Page {
        if let Some(question) = &self.question {
            self.found.at(
                question.line,
                format!("question `{}` is not closed with </details>", question.id),
            );
        }
        self.page
    }
}

/// The anchor that mdBook makes from a heading's text.
fn id_from(heading: &str) -> String {
    let letter = |c: char| {
        if c.is_alphanumeric() || c == '_' || c == '-' {
            Some(c)
        } else {
            c.is_whitespace().then_some('-')
        }
    };
    let text = heading.trim().to_lowercase();
    text.chars().filter_map(letter).collect()
}

/// The same, with a number behind it where it was taken.
fn unique(id: &str, taken: &mut HashSet<String>) -> String {
    let numbered = (1..).map(|number| format!("{id}-{number}"));
    std::iter::once(id.to_owned())
        .chain(numbered)
        .find(|id| taken.insert(id.clone()))
        .unwrap_or_default()
}
