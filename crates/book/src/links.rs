//! Where links lead: to a page of the book, to an anchor on it, to a file beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::Found;
use crate::include::normal;
use crate::page::Page;

/// All pages by their path in `docs/src`.
pub type Pages = BTreeMap<PathBuf, Page>;

/// Notes the links of a page that lead nowhere.
pub fn check(path: &Path, page: &Page, pages: &Pages, sources: &Path, found: &mut Found) {
    for (target, line) in &page.links {
        if let Err(what) = follow(path, target, pages, sources) {
            found.at(*line, format!("link to `{target}`: {what}"));
        }
    }
}

fn follow(path: &Path, target: &str, pages: &Pages, sources: &Path) -> Result<(), String> {
    if target.is_empty() {
        return Err("it leads nowhere".into());
    }
    if has_scheme(target) {
        return Ok(());
    }
    if target.starts_with('/') {
        return Err("the book may stand in any directory: make it relative to this page".into());
    }
    let (file, anchor) = match target.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (target, None),
    };
    let beside = path.parent().unwrap_or(Path::new(""));
    let wanted = if file.is_empty() {
        path.to_owned()
    } else {
        // From the sources' full path, so that what climbs out of them is seen.
        let wanted = normal(&sources.join(beside).join(file));
        match wanted.strip_prefix(sources) {
            Ok(wanted) => wanted.to_owned(),
            Err(_) => return Err("outside docs/src, it is no part of the book".into()),
        }
    };
    let as_page = if wanted.extension().is_some_and(|kind| kind == "html") {
        wanted.with_extension("md")
    } else {
        wanted.clone()
    };
    let Some(page) = pages.get(&as_page) else {
        return if as_page.extension().is_some_and(|kind| kind == "md") {
            Err("no such page in SUMMARY.md".into())
        } else if !sources.join(&wanted).is_file() {
            Err("no such file in docs/src".into())
        } else if anchor.is_some() {
            Err("an anchor in a file that is no page".into())
        } else {
            Ok(())
        };
    };
    match anchor {
        Some(anchor) if !page.anchors.contains(anchor) => Err(format!(
            "no anchor `{anchor}` on {}{}",
            as_page.display(),
            nearest(anchor, page)
        )),
        _ => Ok(()),
    }
}

/// An anchor that may have been meant.
fn nearest(anchor: &str, page: &Page) -> String {
    let alike = |known: &&String| known.contains(anchor) || anchor.contains(known.as_str());
    let mut all: Vec<_> = page.anchors.iter().filter(alike).collect();
    all.sort();
    match all.first() {
        Some(known) => format!(" (there is `{known}`)"),
        None => String::new(),
    }
}

/// Whether the target is a full address: `https:`, `mailto:`.
fn has_scheme(target: &str) -> bool {
    target.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
    }) || target.starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages() -> Pages {
        let page = Page {
            anchors: ["fin".to_owned()].into(),
            ..Page::default()
        };
        Pages::from([("a.md".into(), Page::default()), ("more/b.md".into(), page)])
    }

    fn leads(from: &str, target: &str) -> bool {
        follow(Path::new(from), target, &pages(), Path::new("/no/docs/src")).is_ok()
    }

    #[test]
    fn links_are_relative_to_their_page() {
        assert!(leads("a.md", "more/b.md#fin"));
        assert!(leads("more/b.md", "../a.md"));
        assert!(leads("more/b.md", "#fin"));
        assert!(leads("a.md", "more/b.html#fin"));
        assert!(leads("a.md", "https://example.org/#x"));
        assert!(leads("a.md", "mailto:a@example.org"));
    }

    #[test]
    fn what_leads_nowhere_is_noticed() {
        for target in [
            "b.md",
            "more/b.md#rst",
            "#fin",
            "/a.md",
            "../../Cargo.toml",
            "none.png",
            "",
            "a.md#",
        ] {
            assert!(!leads("a.md", target), "{target}");
        }
    }
}
