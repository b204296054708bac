//! Where the book shows an experiment.

use std::fs;
use std::path::Path;

use crate::programs::workspace;

/// A place in the book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The page's file below `docs/src`: `11-close-shutdown.md`.
    pub file: String,
    /// The page's title.
    pub title: String,
    /// The last heading before the experiment.
    pub section: String,
}

/// The first place that includes what a run of this experiment showed.
pub fn of(id: &str) -> Option<Place> {
    find(&workspace().join("docs/src"), id)
}

fn find(sources: &Path, id: &str) -> Option<Place> {
    let included = format!("{{{{#include lab/{}.md:", id.replace('/', "-"));
    let mut files: Vec<_> = fs::read_dir(sources).ok()?.flatten().collect();
    files.sort_by_key(|file| file.file_name());
    files.into_iter().find_map(|file| {
        let text = fs::read_to_string(file.path()).ok()?;
        let before = &text[..text.find(&included)?];
        let mut headings = before.lines().filter(|line| line.starts_with('#'));
        let text = |heading: &str| heading.trim_start_matches('#').trim().to_string();
        let title = text(headings.next()?);
        Some(Place {
            file: file.file_name().to_str()?.into(),
            section: headings.next_back().map_or(title.clone(), text),
            title,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_the_heading_before_the_experiment() {
        let book = tempfile::tempdir().expect("a directory can be made");
        let page = "# Title\n\n## Observe\n\n### With close\n\n{{#include lab/11-close.md:ladder}}\n\n## Explain\n";
        fs::write(book.path().join("11-close.md"), page).expect("a file can be written");
        let place = Place {
            file: "11-close.md".into(),
            title: "Title".into(),
            section: "With close".into(),
        };
        assert_eq!(find(book.path(), "11/close"), Some(place));
        assert_eq!(find(book.path(), "11/clos"), None);
    }
}
