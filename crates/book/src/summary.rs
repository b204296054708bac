//! The table of contents: `SUMMARY.md` lists every page once, and no page that is not there.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mdbook_markdown::pulldown_cmark::{Event, Tag};

use crate::page;
use crate::{Found, line_of};

/// The pages that a table of contents lists, in its order.
pub fn listed(summary: &str, sources: &Path, found: &mut Found) -> Vec<PathBuf> {
    let mut lines: HashMap<PathBuf, usize> = HashMap::new();
    let mut pages = Vec::new();
    for (event, range) in page::parser(summary, None).into_offset_iter() {
        let Event::Start(Tag::Link { dest_url, .. }) = event else {
            continue;
        };
        let line = line_of(summary, range.start);
        let path = PathBuf::from(dest_url.as_ref());
        if dest_url.is_empty() {
            found.at(line, "an entry without a page");
        } else if let Some(first) = lines.get(&path) {
            found.at(
                line,
                format!("`{dest_url}` is listed already, in line {first}"),
            );
        } else if path.extension().is_none_or(|kind| kind != "md") || !sources.join(&path).is_file()
        {
            found.at(line, format!("no such page: `{dest_url}`"));
        } else {
            pages.push(path.clone());
        }
        lines.entry(path).or_insert(line);
    }
    pages
}

/// Every page in a directory and those below it, by its path there. Parts of pages, which programs have written, are none.
pub fn present(sources: &Path, parts: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut pages = Vec::new();
    let mut directories = vec![sources.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                directories.extend((!parts.contains(&path)).then_some(path));
            } else if path.extension().is_some_and(|kind| kind == "md") {
                let path = path.strip_prefix(sources).unwrap_or(&path);
                pages.push(path.to_owned());
            }
        }
    }
    pages.retain(|path| path != Path::new("SUMMARY.md"));
    pages.sort();
    Ok(pages)
}
