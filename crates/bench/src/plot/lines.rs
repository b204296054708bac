//! Curves over two logarithmic axes, each with its name at its end.

use plotters::prelude::*;

use super::canvas::{Anchor, LINE, MARGIN, Tone, WIDTH, decades, letters, picture, text};

/// Room for the numbers at the left, and for the names at the right.
const NUMBERS: i32 = 58;
const NAMES: i32 = 124;
/// The plot itself, and the axis below it.
const HEIGHT: i32 = 260;
const AXIS: i32 = 40;
/// From one name to the next at least.
const APART: i32 = 17;

/// One contestant's curve.
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) tone: Tone,
    /// From left to right.
    pub(super) points: Vec<(f64, f64)>,
}

/// Curves over an axis with the description `below`. Both axes are logarithmic and have their words for a number.
pub(super) fn lines(
    id: &str,
    title: &str,
    below: &str,
    curves: &[Curve],
    across: fn(f64) -> String,
    up: fn(f64) -> String,
) -> anyhow::Result<String> {
    let all = || curves.iter().flat_map(|curve| curve.points.iter());
    let words = curves.iter().map(|curve| {
        let points = curve.points.iter();
        let points: Vec<String> = points
            .map(|(x, y)| format!("{} at {}", up(*y), across(*x)))
            .collect();
        format!("{}: {}", curve.name, points.join(", "))
    });
    let words: Vec<String> = words.collect();
    let top = MARGIN + LINE + 6;
    picture(id, title, &words, top + HEIGHT + AXIS + MARGIN, |area| {
        let title_at = (MARGIN, MARGIN + LINE / 2);
        text(area, title, title_at, Anchor::Left, Tone::Ink, true)?;
        let from = all().map(|point| point.0).fold(f64::INFINITY, f64::min);
        let to = all().map(|point| point.0).fold(0.0, f64::max);
        if from >= to {
            let at = (MARGIN, top + LINE / 2);
            let words = "not measured in this run";
            return text(area, words, at, Anchor::Left, Tone::Quiet, false);
        }
        let range = decades(all().map(|point| point.1));
        let inner = area.margin(top, MARGIN, 0, 0);
        let mut chart = ChartBuilder::on(&inner)
            .margin_right(NAMES)
            .x_label_area_size(AXIS)
            .y_label_area_size(NUMBERS)
            .build_cartesian_2d((from..to).log_scale(), range.log_scale())?;
        let (x_words, y_words) = (|x: &f64| across(*x), |y: &f64| up(*y));
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(5)
            .y_labels(5)
            .x_label_formatter(&x_words)
            .y_label_formatter(&y_words)
            .x_desc(below)
            .axis_style(Tone::Quiet.color().mix(0.5))
            .bold_line_style(Tone::Quiet.color().mix(0.3))
            .light_line_style(TRANSPARENT)
            .label_style(letters(false).color(&Tone::Quiet.color()))
            .axis_desc_style(letters(false).color(&Tone::Quiet.color()))
            .draw()?;
        for curve in curves {
            let color = curve.tone.color();
            let width = if curve.tone == Tone::Ours { 3 } else { 2 };
            let points = curve.points.iter().copied();
            let style = color.stroke_width(width);
            if curve.tone.repeats() {
                chart.draw_series(DashedLineSeries::new(points.clone(), 5, 4, style))?;
            } else {
                chart.draw_series(LineSeries::new(points.clone(), style))?;
            }
            chart.draw_series(points.map(|at| Circle::new(at, 3, color.filled())))?;
        }
        let ends = curves.iter().filter_map(|curve| {
            let end = curve.points.last()?;
            let (_, y) = chart.plotting_area().map_coordinate(end);
            Some((y, curve))
        });
        let mut ends: Vec<_> = ends.collect();
        ends.sort_by_key(|(y, _)| *y);
        let heights: Vec<i32> = ends.iter().map(|(y, _)| *y).collect();
        for (y, (_, curve)) in apart(&heights, top + HEIGHT).into_iter().zip(ends) {
            let at = (WIDTH - NAMES + 10, y);
            let ours = curve.tone == Tone::Ours;
            text(area, &curve.name, at, Anchor::Left, curve.tone, ours)?;
        }
        Ok(())
    })
}

/// Places from top to bottom moved so that each is at least [`APART`] from the next, and none below `lowest`.
fn apart(places: &[i32], lowest: i32) -> Vec<i32> {
    let mut places = places.to_vec();
    for at in 1..places.len() {
        places[at] = places[at].max(places[at - 1] + APART);
    }
    let mut limit = lowest;
    for place in places.iter_mut().rev() {
        *place = (*place).min(limit);
        limit = *place - APART;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_cover_each_other() {
        assert_eq!(apart(&[10, 12, 100], 200), [10, 27, 100]);
        assert_eq!(apart(&[190, 195, 199], 200), [166, 183, 200]);
    }
}
