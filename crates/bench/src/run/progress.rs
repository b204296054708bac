//! How far it is: a bar where standard error is a terminal, else a line for each stage.

use std::cell::RefCell;
use std::io::{IsTerminal, stderr};

use common::complain;
use indicatif::{ProgressBar, ProgressStyle};

/// The bar, or what stands in for it.
pub struct Progress {
    /// `None` without a terminal.
    bar: Option<ProgressBar>,
    stage: RefCell<String>,
}

impl Progress {
    /// Nothing done, and nothing known to be done.
    pub fn new() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{bar:30} {percent:>3} % {elapsed:>4}  {msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self {
            bar,
            stage: RefCell::default(),
        }
    }

    /// So many more steps are to come.
    pub fn expects(&self, steps: usize) {
        if let Some(bar) = &self.bar {
            bar.inc_length(steps as u64);
        }
    }

    /// What the next steps have in common.
    pub fn stage(&self, stage: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(stage.to_owned()),
            None => complain!("{stage}"),
        }
        self.stage.replace(stage.into());
    }

    /// A step begins.
    pub fn step(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}: {what}", self.stage.borrow()));
            bar.inc(1);
        }
    }

    /// The bar goes, and leaves no trace.
    pub fn ends(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
