//! Chapter 5.

use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[];
