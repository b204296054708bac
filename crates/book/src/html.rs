//! The tags in a piece of HTML: as much of the language as the pages use.

/// What a piece of HTML consists of.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// An opening or closing tag.
    Tag(Tag<'a>),
    /// Text between tags.
    Text(&'a str),
}

/// A tag.
#[derive(Debug, PartialEq, Eq)]
pub struct Tag<'a> {
    /// Its name, as written.
    pub name: &'a str,
    /// Whether it is a closing tag.
    pub closes: bool,
    /// Whether it closes itself (`<br/>`).
    pub is_whole: bool,
    /// Where it begins in the text.
    pub offset: usize,
    attributes: Vec<(&'a str, &'a str)>,
}

impl<'a> Tag<'a> {
    /// The value of an attribute; empty where it has none.
    pub fn attribute(&self, name: &str) -> Option<&'a str> {
        let mut all = self.attributes.iter();
        all.find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    }

    /// Whether this is one of its classes.
    pub fn has_class(&self, class: &str) -> bool {
        let classes = self.attribute("class").unwrap_or_default();
        classes.split_whitespace().any(|known| known == class)
    }
}

/// The tags and texts of a piece of HTML; comments are left out.
pub fn pieces(html: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(rest) = html.get(at..).filter(|rest| !rest.is_empty()) {
        if let Some(comment) = rest.strip_prefix("<!--") {
            at += 4 + comment.find("-->").map_or(comment.len(), |end| end + 3);
            continue;
        }
        if let Some((tag, length)) = tag(rest, at) {
            pieces.push(Piece::Tag(tag));
            at += length;
            continue;
        }
        // A lone `<` is text: it is passed over to look for the next.
        let next = rest.char_indices().skip(1).find(|(_, c)| *c == '<');
        let end = next.map_or(rest.len(), |(end, _)| end);
        pieces.push(Piece::Text(&rest[..end]));
        at += end;
    }
    pieces
}

/// The tag at the beginning of this text and its length.
fn tag(text: &str, offset: usize) -> Option<(Tag<'_>, usize)> {
    let inner = text.strip_prefix('<')?;
    let closes = inner.starts_with('/');
    let inner = inner.strip_prefix('/').unwrap_or(inner);
    let name = &inner[..inner
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .unwrap_or(inner.len())];
    if name.is_empty() {
        return None;
    }
    let mut rest = &inner[name.len()..];
    let mut attributes = Vec::new();
    let mut is_whole = false;
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('>') {
            let length = text.len() - after.len();
            let tag = Tag {
                name,
                closes,
                is_whole,
                offset,
                attributes,
            };
            return Some((tag, length));
        }
        if let Some(after) = rest.strip_prefix('/') {
            is_whole = true;
            rest = after;
            continue;
        }
        let end = rest.find(|c: char| c.is_whitespace() || "=>/".contains(c))?;
        if end == 0 {
            return None;
        }
        let attribute = &rest[..end];
        rest = rest[end..].trim_start();
        let mut value = "";
        if let Some(after) = rest.strip_prefix('=') {
            (value, rest) = quoted(after.trim_start())?;
        }
        attributes.push((attribute, value));
    }
}

/// An attribute's value, with or without quotes, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote) {
            return inner.split_once(quote);
        }
    }
    let end = text.find(|c: char| c.is_whitespace() || c == '>')?;
    Some(text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_with_their_attributes() {
        let pieces = pieces(r##"a <i id="x" class='p q' open>b</i><!-- <u> --><use href=#y />"##);
        let tags: Vec<_> = pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Tag(tag) => Some(tag),
                Piece::Text(_) => None,
            })
            .collect();
        assert_eq!(tags.len(), 3);
        assert_eq!((tags[0].name, tags[0].offset), ("i", 2));
        assert_eq!(tags[0].attribute("id"), Some("x"));
        assert_eq!(tags[0].attribute("open"), Some(""));
        assert!(tags[0].has_class("q") && !tags[0].has_class("x"));
        assert!(tags[1].closes);
        assert!(tags[2].is_whole);
        assert_eq!(tags[2].attribute("href"), Some("#y"));
    }

    #[test]
    fn what_is_no_tag_is_text() {
        assert_eq!(
            pieces("→ 1 < 2 > é"),
            [Piece::Text("→ 1 "), Piece::Text("< 2 > é")]
        );
        assert_eq!(pieces("<a href=\"open"), [Piece::Text("<a href=\"open")]);
    }
}
