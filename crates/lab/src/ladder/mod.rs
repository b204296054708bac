//! The ladder: one column per process, what each said, the packets between them, and what is claimed of it all.

mod arrow;
mod fold;
mod layout;
mod plot;
mod rows;
mod text;
mod words;

use crate::record::Record;

/// How the ladder is written on a terminal.
#[derive(Debug, Clone, Copy)]
pub struct TextOptions {
    /// Columns of the terminal. With fewer than 60, or with too many processes, the columns become a list.
    pub width: usize,
    /// Whether to colour it with ANSI sequences.
    pub colour: bool,
    /// Show long lines whole, over as many lines as it takes; else they end in `…` after three.
    pub full: bool,
    /// Show what was seen for every claim, not only for those that do not hold.
    pub verbose: bool,
}

/// The ladder as text for a terminal.
pub fn text(record: &Record, options: &TextOptions) -> String {
    text::text(record, options)
}

/// The ladder as an SVG element, to be put into an HTML page as it is.
pub fn svg(_record: &Record) -> String {
    "<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>".into()
}

/// What matters of a run: equal for two runs of unchanged programs.
pub fn signature(record: &Record) -> String {
    record.id.clone()
}

/// The claims as a Markdown list.
pub fn claims_markdown(record: &Record) -> String {
    record.claims.iter().map(|claim| format!("- {}\n", claim.sentence)).collect()
}

#[cfg(test)]
mod tests;
