//! Chapter 4.

use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[];
