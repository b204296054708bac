//! A file that takes its time: a pipe into which nobody has written yet.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::libc::O_NONBLOCK;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::prelude::*;

/// `pipe` in the story's directory, and beside it `text`, which is `a text` and a newline.
pub(super) struct SlowFile(PathBuf);

impl SlowFile {
    pub(super) fn new(lab: &Lab) -> Result<Self, LabError> {
        let directory = &lab.shared.directory;
        let pipe = directory.join("pipe");
        fs::write(directory.join("text"), "a text\n")?;
        mkfifo(&pipe, Mode::S_IRWXU).map_err(io::Error::from)?;
        Ok(Self(pipe))
    }

    /// Waits until somebody reads it, and returns its other end. Nobody can open that before, fifo(7).
    pub(super) fn is_read(&self, lab: &Lab) -> Result<Option<File>, LabError> {
        let mut writer = None;
        lab.until("the server reads the pipe", || {
            let open = OpenOptions::new()
                .write(true)
                .custom_flags(O_NONBLOCK)
                .open(&self.0);
            let seen = open
                .as_ref()
                .map_or_else(ToString::to_string, |_| "it does".into());
            writer = open.ok();
            Check::new(writer.is_some(), seen)
        })?;
        Ok(writer)
    }
}
