//! What the plots of a gauge have in common: ranges, and round numbers at the axes.

use std::time::Duration;

use super::words::{grouped, milliseconds};
use crate::record::{Gauge, Record};

/// A gauge's range.
#[derive(Debug)]
pub(super) struct Plot<'a> {
    gauge: &'a Gauge,
    /// The time at the left and at the right.
    pub(super) from: Duration,
    pub(super) to: Duration,
    /// The value at the top; the bottom is 0.
    pub(super) top: f64,
    /// From one number at the axis to the next.
    pub(super) step: f64,
}

impl<'a> Plot<'a> {
    /// The gauges that have something to show, each with its range: all share the time of the run.
    pub(super) fn all(record: &'a Record) -> Vec<Self> {
        let shown = record
            .gauges
            .iter()
            .filter(|gauge| !gauge.points.is_empty());
        let first = shown.clone().map(|gauge| gauge.points[0].0).min();
        let last = shown
            .clone()
            .map(|gauge| gauge.points[gauge.points.len() - 1].0)
            .max();
        let from = first.unwrap_or_default();
        let to = record
            .took
            .max(last.unwrap_or_default())
            .max(from + Duration::from_millis(1));
        let plot = |gauge: &'a Gauge| {
            let finite = gauge
                .points
                .iter()
                .map(|point| point.1)
                .filter(|value| value.is_finite());
            let most = finite.fold(0.0, f64::max).max(1.0);
            let step = round_step(most / 3.0);
            Self {
                gauge,
                from,
                to,
                top: (most / step).ceil() * step,
                step,
            }
        };
        shown.map(plot).collect()
    }

    /// `send queue of tcpclient, bytes`.
    pub(super) fn name(&self) -> String {
        super::words::clean(&format!("{}, {}", self.gauge.name, self.gauge.unit))
    }

    /// The values with their places in the plot: 0 to 1 from left to right and from bottom to top. The last value lasts.
    pub(super) fn points(&self) -> Vec<(f64, f64)> {
        let whole = (self.to - self.from).as_secs_f64();
        let x = |at: Duration| at.saturating_sub(self.from).as_secs_f64() / whole;
        let y = |value: f64| {
            if value.is_finite() {
                (value / self.top).clamp(0.0, 1.0)
            } else {
                0.0
            }
        };
        let mut points: Vec<_> = self
            .gauge
            .points
            .iter()
            .map(|&(at, value)| (x(at), y(value)))
            .collect();
        points.extend(points.last().map(|&(_, y)| (1.0, y)));
        points
    }

    /// The largest value in each of `cells` equal stretches of time.
    pub(super) fn sampled(&self, cells: usize) -> Vec<f64> {
        let points = self.points();
        let mut values = vec![0.0; cells];
        for pair in points.windows(2) {
            let cell = |x: f64| ((x * cells as f64) as usize).min(cells - 1);
            for value in &mut values[cell(pair[0].0)..=cell(pair[1].0)] {
                *value = f64::max(*value, pair[0].1);
            }
        }
        values
    }

    /// The numbers at the vertical axis, from the bottom: place and words.
    pub(super) fn values(&self) -> Vec<(f64, String)> {
        let number = |at: usize| at as f64 * self.step;
        let all = (0..)
            .map(number)
            .take_while(|value| *value <= self.top * 1.001);
        all.map(|value| (value / self.top, number_words(value)))
            .collect()
    }

    /// The times at the horizontal axis: place, and milliseconds.
    pub(super) fn times(&self) -> Vec<(f64, String)> {
        let (from, to) = (milliseconds(self.from) as f64, milliseconds(self.to) as f64);
        let whole = (to - from).max(1.0);
        let step = round_step(whole / 6.0).max(1.0);
        let first = (from / step).ceil();
        let all = (0..)
            .map(|at| (first + f64::from(at)) * step)
            .take_while(|at| *at <= to);
        all.map(|at| ((at - from) / whole, number_words(at)))
            .collect()
    }
}

fn number_words(value: f64) -> String {
    if value.fract() == 0.0 {
        grouped(value as usize)
    } else {
        value.to_string()
    }
}

/// The next of 1, 2, 5, 10, 20, 50, … above.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| factor * power >= least);
    factor.unwrap_or(10.0) * power
}
