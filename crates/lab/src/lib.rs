//! The lab: experiments that are programs.
//!
//! An experiment makes hosts (network namespaces), starts the lessons' real programs on them, types lines, cuts wires,
//! crashes hosts, and states claims about what was seen: output, exit status, packets, socket states, system calls. Its
//! control is the same story with one thing changed, under which its central claims must fail.
//!
//! ```no_run
//! use lab::prelude::*;
//!
//! fn refused(lab: &Lab) -> Outcome {
//!     let host = lab.host()?;
//!     if lab.is_control() {
//!         host.start("chap-4 make-socket 43211")?.listens()?;
//!     }
//!     let client = host.start("chap-4 connect 127.0.0.1 43211")?;
//!     client.closes_input();
//!     let end = client.ends()?;
//!     lab.central("the answer to the SYN is a reset", lab.packets().has(RST | ACK));
//!     lab.central("connect fails", end.exited_with(1));
//!     lab.done()
//! }
//! ```
//!
//! | module | what it has |
//! |---|---|
//! | [`lab`] | what an experiment has in its hands |
//! | [`host`], [`process`], [`wire`] | hosts, programs on them, what is between them |
//! | [`packet`], [`packets`], [`check`] | what was seen, and questions about it |
//! | [`net`], [`tracer`], [`observe`] | how it is seen: netlink, packet sockets, ptrace |
//! | [`run`], [`report`], [`render`], [`states`], [`doctor`] | running, telling, writing down, and what this machine allows |
//! | [`experiments`] | all of them, a file for each chapter |
//! | [`quiz`] | questions about them, which their runs decide |
//! | [`exercises`] | programs to mend, and the stories that tell whether they are |

mod assemble;
mod browser;
pub mod check;
pub mod clock;
pub mod doctor;
pub mod error;
pub mod exercises;
pub mod experiment;
pub mod experiments;
pub mod files;
pub mod host;
pub mod lab;
pub mod ladder;
pub mod namespace;
pub mod net;
pub mod observe;
pub mod packet;
pub mod packets;
pub mod process;
pub mod programs;
pub mod quiz;
pub mod record;
pub mod render;
pub mod report;
pub mod run;
pub mod sandbox;
pub mod states;
pub mod tracer;
pub mod users;
pub mod version;
pub mod wire;

/// What a file of experiments needs.
pub mod prelude {
    pub use crate::check::{Check, all, equal, within};
    pub use crate::error::LabError;
    pub use crate::experiment::{Experiment, Outcome};
    pub use crate::host::{Host, PORT};
    pub use crate::lab::{Kernel, Lab};
    pub use crate::net::route::Route;
    pub use crate::packet::{ACK, FIN, Kind, PSH, Packet, RST, SYN, URG};
    pub use crate::packets::Passed;
    pub use crate::process::{EndChecks, Process};
    pub use crate::record::TcpState;
    pub use drive::{Ending, Signal};
    pub use std::time::Duration;
}
