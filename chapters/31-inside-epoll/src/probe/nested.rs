//! An instance in an instance.

use std::os::fd::{AsFd, AsRawFd};

use common::{Call, say};

use crate::calls::IN;
use crate::instance::{Instance, counter, says};

/// Puts one instance into another, and the other into it
#[derive(Debug, clap::Args)]
pub struct Nested {
    /// Keep the two apart at first
    #[arg(long)]
    apart: bool,
    /// Put one around the other until it is refused
    #[arg(long, conflicts_with = "apart")]
    deep: bool,
}

impl Nested {
    // ANCHOR: nested
    pub fn run(&self) -> anyhow::Result<()> {
        if self.deep {
            return chain();
        }
        let (outer, inner, watched) = (Instance::new()?, Instance::new()?, counter(0)?);
        inner.add(&watched, IN)?;
        if !self.apart {
            outer.add(&inner, IN)?;
        }
        outer.tells("while nothing is ready,")?;
        watched.write(1).call("write")?;
        let fd = watched.as_fd().as_raw_fd();
        outer.tells(&format!("{fd} is ready:"))?;
        watched.read().call("read")?;
        outer.tells(&format!("{fd} is read:"))?;
        let outer_number = outer.number();
        says(
            format_args!("{outer_number}, the outer one, is added to the inner one"),
            inner.try_add(outer_number, IN),
        )
    }
    // ANCHOR_END: nested
}

/// How many instances can stand one inside the other.
fn chain() -> anyhow::Result<()> {
    let mut chain = vec![Instance::new()?];
    while let Some(inner) = chain.last() {
        let outer = Instance::new()?;
        if let Err(error) = outer.try_add(inner.as_fd().as_raw_fd(), IN) {
            say!("the {}th instance around another: {error:?}", chain.len())?;
            break;
        }
        chain.push(outer);
    }
    Ok(())
}
