//! A plot with two logarithmic axes, as SVG. Its colours are those of the page around it.

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 430.0;
/// The plot's place in the drawing.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 660.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = 370.0;

/// A line of the plot.
#[derive(Debug)]
pub struct Curve {
    name: &'static str,
    /// The book's class for it, which gives it a colour there.
    class: &'static str,
    /// Both values above 0, the first ascending.
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    /// A line without points, with its name and class.
    pub fn new((name, class): (&'static str, &'static str)) -> Self {
        let points = Vec::new();
        Self {
            name,
            class,
            points,
        }
    }
}

/// Powers of ten: from the one at or below the least value to the one at or above the greatest.
struct Axis {
    from: i32,
    to: i32,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64> + Clone) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let from = least.log10().floor() as i32;
        let to = values.fold(least, f64::max).log10().ceil() as i32;
        Self {
            from,
            to: to.max(from + 1),
        }
    }

    /// Where a value is, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        (value.log10() - f64::from(self.from)) / f64::from(self.to - self.from)
    }

    fn powers(&self) -> impl Iterator<Item = f64> {
        (self.from..=self.to).map(|power| 10f64.powi(power))
    }
}

/// Draws the curves under a title and a line about where they come from.
pub fn plot(title: &str, machine: &str, curves: &[Curve]) -> String {
    let all = curves.iter().flat_map(|curve| curve.points.iter().copied());
    let across = Axis::over(all.clone().map(|(x, _)| x));
    let up = Axis::over(all.map(|(_, y)| y));
    let x = |value| LEFT + across.place(value) * (RIGHT - LEFT);
    let y = |value| BOTTOM - up.place(value) * (BOTTOM - TOP);

    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" aria-label="{title}; {machine}" font-size="12">
  <title>{title}</title>
  <text x="{LEFT}" y="24" font-size="14" fill="currentColor">{title}</text>
  <text x="{LEFT}" y="44" fill="currentColor" class="quiet">{machine}</text>
  <text x="{:.1}" y="{:.1}" fill="currentColor" text-anchor="end">µs</text>
"#,
        LEFT - 8.0,
        TOP - 14.0
    );
    for value in across.powers() {
        let x = x(value);
        svg += &format!(
            r#"  <path d="M{x:.1} {TOP}V{BOTTOM}" stroke="currentColor" stroke-opacity="0.25"/>
  <text x="{x:.1}" y="{:.1}" fill="currentColor" text-anchor="middle">{value}</text>
"#,
            BOTTOM + 20.0
        );
    }
    for value in up.powers() {
        let y = y(value);
        svg += &format!(
            r#"  <path d="M{LEFT} {y:.1}H{RIGHT}" stroke="currentColor" stroke-opacity="0.25"/>
  <text x="{:.1}" y="{:.1}" fill="currentColor" text-anchor="end">{value}</text>
"#,
            LEFT - 8.0,
            y + 4.0
        );
    }
    svg += &format!(
        r#"  <text x="{:.1}" y="{:.1}" fill="currentColor" class="quiet" text-anchor="middle">n, the descriptors that are watched</text>
"#,
        (LEFT + RIGHT) / 2.0,
        BOTTOM + 44.0
    );
    // Names stand at the ends of their curves, from the highest down, and not on one another.
    let mut ends: Vec<_> = curves
        .iter()
        .filter_map(|curve| curve.points.last().map(|&(_, end)| (y(end), curve)))
        .collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = f64::NEG_INFINITY;
    for (end, curve) in ends {
        let points = curve.points.iter();
        let points: Vec<_> = points
            .map(|&(a, b)| format!("{:.1},{:.1}", x(a), y(b)))
            .collect();
        svg += &format!(
            r#"  <g class="{}" fill="currentColor" stroke="currentColor"><polyline points="{}" fill="none" stroke-width="2"/>"#,
            curve.class,
            points.join(" ")
        );
        for &(a, b) in &curve.points {
            svg += &format!(r#"<circle cx="{:.1}" cy="{:.1}" r="3.5"/>"#, x(a), y(b));
        }
        let label = f64::max(end, free) + 4.0;
        free = label + 12.0;
        svg += &format!(
            r#"<text x="{:.1}" y="{label:.1}" font-size="14" stroke="none">{}</text></g>
"#,
            RIGHT + 10.0,
            curve.name
        );
    }
    svg + "</svg>\n"
}
