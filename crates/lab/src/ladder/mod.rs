//! The ladder: one column per process, what each said, the packets between them, and what is claimed of it all.

mod arrow;
mod fold;
mod lanes;
mod layout;
mod markdown;
mod plot;
mod rows;
mod signature;
mod svg;
mod table;
mod text;
pub(crate) mod words;

pub use words::entry;

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

/// What a control changed, and that its central claims do not hold, as text for a terminal.
pub fn control_text(change: &str, record: &Record, options: &TextOptions) -> String {
    text::control(change, record, options)
}

/// The ladder as an SVG element, to be put into an HTML page as it is: no line of it is blank, its ids begin with the
/// experiment's, and its colours are the page's. The claims are not in it: see [`claims_markdown`].
pub fn svg(record: &Record) -> String {
    svg::svg(record)
}

/// What matters of a run: equal for two runs of unchanged programs, on a busy machine too. What was drawn from a run with the
/// same signature need not be drawn again.
pub fn signature(record: &Record) -> String {
    signature::signature(record)
}

/// The claims as a Markdown list, the central ones in bold, with what was seen of those that do not hold.
pub fn claims_markdown(record: &Record) -> String {
    markdown::claims(record)
}

#[cfg(test)]
mod tests;
