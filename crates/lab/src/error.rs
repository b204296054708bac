//! Why an experiment could not be carried out. A claim that does not hold is no error.

use std::io;

/// What ended an experiment before its claims.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A host could not be made or changed.
    #[error("host {host}: {source}")]
    Host {
        /// Its name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("start {command}: {why}")]
    Start {
        /// What was to be started.
        command: String,
        /// Why not.
        why: String,
    },
    /// A program did not do what the story says.
    #[error(transparent)]
    Drive(#[from] drive::DriveError),
    /// The kernel did not come to do what the story says.
    #[error("waited in vain until {awaited}; seen: {seen}")]
    Waited {
        /// What was awaited.
        awaited: String,
        /// What was there instead.
        seen: String,
    },
    /// The experiment cannot be done on this machine.
    #[error("{0}")]
    Impossible(String),
    /// The experiment has a defect.
    #[error("the experiment panicked: {0}")]
    Panicked(String),
    /// Something of the lab's own went wrong.
    #[error(transparent)]
    Io(#[from] io::Error),
}
