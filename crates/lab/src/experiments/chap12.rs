//! Chapter 12.

use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[];
