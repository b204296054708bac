//! Hands the checked pages to mdBook, and takes what mdBook warns of as a problem.

use std::fmt::{Debug, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use mdbook_driver::MDBook;
use mdbook_driver::book::BookItem;
use mdbook_driver::config::Config;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::Book;

/// Builds the pages in `out`, whose content is replaced. What mdBook warned of is returned: HTML that is not closed, a
/// footnote that nobody refers to.
pub fn render(book: &Book, out: &Path) -> anyhow::Result<Vec<String>> {
    let mut config =
        Config::from_disk(book.docs.join("book.toml")).context("read docs/book.toml")?;
    config.build.build_dir = std::path::absolute(out)?;
    config.build.create_missing = false;
    // Its own preprocessors would look for directives again, also in text that only shows one.
    config.build.use_default_preprocessors = false;
    let warnings = Warnings::default();
    tracing::subscriber::with_default(warnings.clone(), || {
        let mut rendered = MDBook::load_with_config(&book.docs, config)?;
        rendered.book.for_each_mut(|item| {
            if let BookItem::Chapter(chapter) = item
                && let Some(page) = chapter.path.as_ref().and_then(|path| book.text.get(path))
            {
                chapter.content.clone_from(&page.text);
            }
        });
        rendered.build()
    })
    .with_context(|| format!("build the book in {}", out.display()))?;
    Ok(warnings.take())
}

/// Collects what is logged at the level of a warning or above.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event) {
        let mut message = Message::default();
        event.record(&mut message);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(message.0);
    }

    fn new_span(&self, _: &Attributes) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            // Writing to a String cannot fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}
