//! Rows of bars, one for each contestant, in panels one below the other.

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::canvas::{Anchor, Area, LINE, MARGIN, Tone, WIDTH, decades, letters, picture, text};

/// Room for the words behind a bar.
const WORDS: i32 = 104;
/// How wide a letter of a name is at most, on average.
const LETTER: f64 = 7.8;
/// From one bar to the next.
const ROW: i32 = 24;
/// An axis with its numbers.
const AXIS: i32 = 26;

/// A contestant's row.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) tone: Tone,
    /// The one that the picture is about.
    pub(super) bold: bool,
    /// What the bar shows: the strong part from the left, and the pale part behind it.
    pub(super) strong: f64,
    pub(super) pale: f64,
    /// How far the samples lie apart.
    pub(super) whisker: Option<(f64, f64)>,
    /// Further marks on the row: percentiles.
    pub(super) marks: Vec<f64>,
    /// What stands behind the bar.
    pub(super) words: String,
}

impl Bar {
    fn whole(&self) -> f64 {
        self.strong + self.pale
    }

    /// The furthest that anything of it reaches.
    fn most(&self) -> f64 {
        let further = self.whisker.map(|(_, upper)| upper);
        let further = further.into_iter().chain(self.marks.iter().copied());
        further.fold(self.whole(), f64::max)
    }

    fn least(&self) -> f64 {
        let nearer = self.marks.iter().copied();
        nearer.fold(self.whole(), f64::min)
    }
}

/// Bars with an axis in common.
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) bars: Vec<Bar>,
    /// Where an upright line stands that they are compared with.
    pub(super) rule: Option<f64>,
    /// A logarithmic axis: it has no 0 from which a bar could begin, so there are points.
    pub(super) points: bool,
    /// The words for a number at the axis.
    pub(super) axis: fn(f64) -> String,
}

impl Panel {
    fn height(&self) -> i32 {
        LINE + 6 + self.bars.len().max(1) as i32 * ROW + AXIS + LINE / 2
    }
}

/// The panels as one picture, and a line below them that says how to read it.
pub(super) fn bars(
    id: &str,
    title: &str,
    panels: &[Panel],
    legend: &str,
) -> anyhow::Result<String> {
    let rows = panels.iter().flat_map(|panel| {
        let row = |bar: &Bar| format!("{}: {}, {}", panel.title, bar.name, bar.words);
        panel.bars.iter().map(row)
    });
    let words: Vec<String> = rows.collect();
    let height = panels.iter().map(Panel::height).sum::<i32>() + LINE + MARGIN;
    let names = panels.iter().flat_map(|panel| &panel.bars);
    let longest = names.map(|bar| bar.name.chars().count()).max().unwrap_or(0);
    let names = (longest as f64 * LETTER) as i32 + 2 * MARGIN;
    picture(id, title, &words, height, |area| {
        let mut top = 0;
        for panel in panels {
            draw(area, panel, names, top)?;
            top += panel.height();
        }
        let at = (MARGIN, top + LINE / 2);
        text(area, legend, at, Anchor::Left, Tone::Quiet, false)
    })
}

fn draw(area: &Area, panel: &Panel, names: i32, top: i32) -> anyhow::Result<()> {
    let title_at = (MARGIN, top + MARGIN + LINE / 2);
    text(area, &panel.title, title_at, Anchor::Left, Tone::Ink, true)?;
    if panel.bars.is_empty() {
        let at = (MARGIN, top + MARGIN + LINE + ROW / 2);
        let words = "not measured in this run";
        return text(area, words, at, Anchor::Left, Tone::Quiet, false);
    }
    let below = area.margin(top + LINE + 6, 0, 0, 0);
    let count = panel.bars.len() as i32;
    let below = below.split_vertically(count * ROW + AXIS).0;
    if panel.points {
        let least = panel.bars.iter().map(Bar::least);
        let most = panel.bars.iter().map(Bar::most);
        let range = decades(least.chain(most));
        let left = range.start;
        rows(area, &below, panel, names, range.log_scale(), left)
    } else {
        let most = panel.bars.iter().map(Bar::most);
        let most = most.fold(panel.rule.unwrap_or_default(), f64::max);
        rows(
            area,
            &below,
            panel,
            names,
            0.0..most.max(f64::MIN_POSITIVE),
            0.0,
        )
    }
}

/// The rows with their axis, which begins with `left`.
fn rows<X>(
    area: &Area,
    below: &Area,
    panel: &Panel,
    names: i32,
    range: X,
    left: f64,
) -> anyhow::Result<()>
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
{
    let count = panel.bars.len() as f64;
    let mut chart = ChartBuilder::on(below)
        .margin_right(WORDS)
        .x_label_area_size(AXIS)
        .y_label_area_size(names)
        .build_cartesian_2d(range, count..0.0)?;
    let words = |value: &f64| (panel.axis)(*value);
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_labels(4)
        .x_label_formatter(&words)
        .axis_style(Tone::Quiet.color().mix(0.5))
        .bold_line_style(Tone::Quiet.color().mix(0.3))
        .light_line_style(TRANSPARENT)
        .label_style(letters(false).color(&Tone::Quiet.color()))
        .draw()?;
    for (middle, bar) in middles(panel) {
        let color = bar.tone.color();
        if panel.points {
            let way = [(left, middle), (bar.most().max(left), middle)];
            let style = color.mix(0.4).stroke_width(2);
            chart.draw_series([PathElement::new(way, style)])?;
            let rings = bar.marks.iter().map(|mark| (*mark, middle));
            chart.draw_series(rings.map(|at| Circle::new(at, 5, color.stroke_width(2))))?;
            let first = (bar.whole().max(left), middle);
            chart.draw_series([Circle::new(first, 6, color.filled())])?;
        } else {
            let part = |from: f64, to: f64, alpha: f64| {
                let corners = [(from, middle - 0.3), (to, middle + 0.3)];
                Rectangle::new(corners, color.mix(alpha).filled())
            };
            chart.draw_series([part(0.0, bar.strong, 1.0)])?;
            chart.draw_series([part(bar.strong, bar.whole(), 0.4)])?;
        }
        if let Some((least, most)) = bar.whisker {
            let style = Tone::Ink.color().stroke_width(1);
            let end = |at: f64| [(at, middle - 0.15), (at, middle + 0.15)];
            let ends = [end(least), end(most), [(least, middle), (most, middle)]];
            chart.draw_series(ends.map(|path| PathElement::new(path, style)))?;
        }
    }
    if let Some(rule) = panel.rule {
        let style = Tone::Floor.color().stroke_width(1);
        let ends = [(rule, 0.0), (rule, count)];
        chart.draw_series(DashedLineSeries::new(ends, 3, 3, style))?;
    }
    for (middle, bar) in middles(panel) {
        let at = |value: f64| {
            let place = (value.max(left), middle);
            chart.plotting_area().map_coordinate(&place)
        };
        beside(area, bar, at(left), at(bar.most()))?;
    }
    Ok(())
}

/// Each row with its place on the upright axis.
fn middles(panel: &Panel) -> impl Iterator<Item = (f64, &Bar)> {
    (0..).map(|row| f64::from(row) + 0.5).zip(&panel.bars)
}

/// The name before a row and the words behind it.
fn beside(area: &Area, bar: &Bar, left: (i32, i32), right: (i32, i32)) -> anyhow::Result<()> {
    let name_at = (left.0 - 8, left.1);
    text(area, &bar.name, name_at, Anchor::Right, Tone::Ink, bar.bold)?;
    // Behind the longest bar is the margin; nothing reaches beyond it.
    let words_at = ((right.0 + 10).min(WIDTH - WORDS + 8), right.1);
    text(
        area,
        &bar.words,
        words_at,
        Anchor::Left,
        Tone::Ink,
        bar.bold,
    )
}
