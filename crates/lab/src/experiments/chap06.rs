//! Chapter 6.

use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[];
