//! Shows the event log of the course: what a loop waits for, is told, and calls, a line for each.
//!
//! The reactor tells its doings as `tracing` events at debug level. While nobody listens an event costs a comparison.
//! The lessons whose text shows the log (27, 28, 29) listen. `tracing-subscriber` could do it as well, and much more; this
//! is all that the log needs.

use std::fmt::{self, Write};

use common::complain;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// From now on, events go to standard error in the wording of the course: `[msg] event loop run, main thread`. What the
/// program reports stays on standard output. `all` of them, or only those that tell of trouble, such as clients for whom
/// there is no descriptor.
pub fn show(all: bool) {
    let most = if all { Level::DEBUG } else { Level::WARN };
    let write = complain_of;
    // It fails where somebody listens already: then the log goes there.
    let _ = tracing::subscriber::set_global_default(EventLog { write, most });
}

fn complain_of(line: &str) {
    complain!("{line}");
}

/// Hears events, and no spans: nothing in the reactor lasts from one event to another.
struct EventLog {
    write: fn(&str),
    most: Level,
}

impl Subscriber for EventLog {
    /// Of an event, or of `enabled!`, which is asked before several events are made.
    fn enabled(&self, metadata: &Metadata) -> bool {
        !metadata.is_span() && *metadata.level() <= self.most
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.most))
    }

    fn event(&self, event: &Event) {
        // The names of the course's four levels.
        let level = match *event.metadata().level() {
            Level::ERROR => "err",
            Level::WARN => "warn",
            _ => "msg",
        };
        let mut line = format!("[{level}] ");
        event.record(&mut Message(&mut line));
        (self.write)(&line);
    }

    fn new_span(&self, _: &Attributes) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Takes the text of an event, which is its field `message`.
struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // A String takes everything.
            let _ = write!(self.0, "{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    #[test]
    fn lines_are_those_of_the_course() {
        let log = EventLog {
            write: |line| LINES.with_borrow_mut(|lines| lines.push(line.into())),
            most: Level::DEBUG,
        };
        tracing::subscriber::with_default(log, || {
            let name = "main thread";
            tracing::debug!("event loop run, {name}");
            tracing::info!("SIGINT: stopping");
            tracing::warn!("accept: clients have to wait");
            tracing::trace!("too much");
            assert!(tracing::enabled!(Level::DEBUG) && !tracing::enabled!(Level::TRACE));
        });
        let expected = [
            "[msg] event loop run, main thread",
            "[msg] SIGINT: stopping",
            "[warn] accept: clients have to wait",
        ];
        assert_eq!(LINES.take(), expected);
    }
}
