//! The benchmark: the course's servers against those that people would otherwise use.
//!
//! | module | what it has |
//! |---|---|
//! | [`servers`] | who takes part, how each is built and started |
//! | [`serve`] | the floors, and our own servers as programs to be measured |
//! | [`load`] | the client |
//! | [`measure`] | a server on its core, and what it has used |
//! | [`counts`] | system calls, allocations and instructions per request |
//! | [`run`] | the sections: what is asked of whom, in which order |
//! | [`machine`] | the machine, and what else it was doing |
//! | [`results`] | what a run has measured, as it goes into the JSON file |
//! | [`report`] | the terminal's tables |
//! | [`plot`] | the book's tables and pictures |
//! | [`words`] | numbers in words |

pub mod counts;
pub mod load;
pub mod machine;
pub mod measure;
pub mod plot;
pub mod report;
pub mod results;
pub mod run;
pub mod serve;
pub mod servers;
pub mod words;
