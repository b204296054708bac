//! A picture: plotters draws it, and the style that follows the page's colours is put into it afterwards.

use std::ops::Range;

use anyhow::Context;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// What is drawn on, in pixels.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Narrow enough that letters can still be read when a phone shows the whole of it.
pub(super) const WIDTH: i32 = 480;
/// A line of text.
pub(super) const LINE: i32 = 20;
/// Blank space around everything.
pub(super) const MARGIN: i32 = 8;

/// The tones of a picture. Each is a colour of its own in what plotters writes, so that the style can tell them apart by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Text, and lines that matter.
    Ink,
    /// Axes and their numbers.
    Quiet,
    /// Of this course.
    Ours,
    /// Of others.
    Peer,
    /// What all are compared with.
    Floor,
    /// Further series, where each needs a tone of its own.
    Other(usize),
}

/// The tones of [`Tone::Other`], with their variable in the page's style and in ours.
const OTHERS: [(RGBColor, &str); 6] = [
    (RGBColor(0x9a, 0x67, 0x01), "--ladder-close,var(--amber)"),
    (RGBColor(0x82, 0x50, 0xdf), "--ladder-state,var(--violet)"),
    (RGBColor(0xcf, 0x22, 0x2e), "--ladder-reset,var(--red)"),
    (RGBColor(0x1b, 0x7c, 0x83), "--ladder-teal,var(--teal)"),
    (RGBColor(0x6e, 0x77, 0x81), "--ladder-quiet,var(--grey)"),
    (RGBColor(0xbf, 0x39, 0x89), "--ladder-pink,var(--pink)"),
];

impl Tone {
    const FIXED: [Self; 5] = [Self::Ink, Self::Quiet, Self::Ours, Self::Peer, Self::Floor];

    /// The colour in the file, for a viewer that knows no styles.
    pub(super) fn color(self) -> RGBColor {
        match self {
            Self::Ink => RGBColor(0x24, 0x29, 0x2f),
            Self::Quiet => RGBColor(0x8c, 0x95, 0x9f),
            Self::Ours => RGBColor(0x0b, 0x6b, 0xcb),
            Self::Peer => RGBColor(0x76, 0x7f, 0x8a),
            Self::Floor => RGBColor(0x1a, 0x7f, 0x37),
            Self::Other(number) => OTHERS[number % OTHERS.len()].0,
        }
    }

    /// There are more series than colours: this one has the colour of an earlier one.
    pub(super) fn repeats(self) -> bool {
        matches!(self, Self::Other(number) if number >= OTHERS.len())
    }

    /// The colour in a page: the theme's.
    fn variable(self) -> &'static str {
        match self {
            Self::Ink => "--ladder-ink,currentColor",
            Self::Quiet => "--ladder-quiet,var(--grey)",
            Self::Ours => "--ladder-data,var(--blue)",
            Self::Peer => "--ladder-peer,var(--grey)",
            Self::Floor => "--ladder-open,var(--green)",
            Self::Other(number) => OTHERS[number % OTHERS.len()].1,
        }
    }
}

/// Colours follow the page as those of the ladders do: by its variables, else by its `color-scheme`; as a file of its own
/// (`svg:root`) the picture follows the reader's preference. What is wide the page scrolls on a small screen; these fit.
const STYLE: &str = "\
#ID{width:min(100%,560px);max-width:100%!important;height:auto;\
--blue:#3b7dd8;--green:#2e9e4f;--amber:#b7791f;--red:#e0483e;--violet:#9b6bdf;--grey:#7d8590;--teal:#2d929b;--pink:#d0569f}
@supports (color:light-dark(red,red)){#ID{--blue:light-dark(#1a66d0,#74b4ff);--green:light-dark(#1b8040,#5fd488);\
--amber:light-dark(#9a5b00,#e8b650);--red:light-dark(#cf222e,#ff8078);--violet:light-dark(#7a45d6,#c4a0ff);\
--grey:light-dark(#656d76,#8b98a9);--teal:light-dark(#1b7c83,#56d4dd);--pink:light-dark(#bf3989,#f778ba)}}
svg:root#ID{color-scheme:light dark;color:#57606a;background:#f6f8fa}
@supports (color:light-dark(red,red)){svg:root#ID{color:light-dark(#1f2328,#d5dbe3);background:light-dark(#fff,#161923)}}
#ID text{font-family:system-ui,'Open Sans',sans-serif}";

/// A picture of this height, as the text of an SVG file. `id` is unique in the book, `title` and `words` are for those who
/// do not see it.
pub(super) fn picture(
    id: &str,
    title: &str,
    words: &[String],
    height: i32,
    draw: impl FnOnce(&Area) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let mut svg = String::new();
    {
        let size = (WIDTH as u32, height as u32);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&area).with_context(|| format!("draw `{title}`"))?;
        area.present().with_context(|| format!("draw `{title}`"))?;
    }
    let (head, body) = svg.split_once(">\n").context("plotters wrote no SVG")?;
    let (title, words) = (escape(title), escape(&words.join(";\n")));
    let mut style = STYLE.to_owned();
    let others = (0..OTHERS.len()).map(Tone::Other);
    for tone in Tone::FIXED.into_iter().chain(others) {
        let RGBColor(red, green, blue) = tone.color();
        let color = format!("#{red:02X}{green:02X}{blue:02X}");
        let variable = tone.variable();
        for what in ["fill", "stroke"] {
            style += &format!("\n#ID [{what}=\"{color}\"]{{{what}:var({variable})}}");
        }
    }
    let style = style.replace("#ID", &format!("#{id}"));
    Ok(format!(
        "{head} id=\"{id}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">\n\
         <title id=\"{id}-title\">{title}</title>\n<desc id=\"{id}-desc\">{words}.</desc>\n\
         <style>\n{style}\n</style>\n{body}"
    ))
}

/// Text for XML. Braces too: a page of the book reads `{{` as its own.
fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('{', "&#123;")
}

/// Where a text stands, seen from its place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    /// It begins here.
    Left,
    /// It ends here.
    Right,
}

/// A text in its tone, at the middle of its height.
pub(super) fn text(
    area: &Area,
    words: &str,
    at: (i32, i32),
    anchor: Anchor,
    tone: Tone,
    bold: bool,
) -> anyhow::Result<()> {
    let side = match anchor {
        Anchor::Left => HPos::Left,
        Anchor::Right => HPos::Right,
    };
    let color = tone.color();
    let style = letters(bold).color(&color);
    let style = style.pos(Pos::new(side, VPos::Center));
    area.draw_text(words, &style, at)?;
    Ok(())
}

/// The letters of every picture. plotters' SVG divides sizes by 1.24: this is 13 px.
pub(super) fn letters(bold: bool) -> TextStyle<'static> {
    let weight = if bold {
        FontStyle::Bold
    } else {
        FontStyle::Normal
    };
    TextStyle::from(("sans-serif", 13.0 * 1.24, weight).into_font())
}

/// The powers of ten that hold these values between them.
pub(super) fn decades(values: impl IntoIterator<Item = f64>) -> Range<f64> {
    let values: Vec<f64> = values.into_iter().filter(|value| *value > 0.0).collect();
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    if values.is_empty() {
        return 1.0..10.0;
    }
    let (from, to) = (least.log10().floor(), most.log10().ceil());
    10f64.powf(from)..10f64.powf(to.max(from + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logarithmic_axis_has_whole_decades() {
        assert_eq!(decades([235.0, 20_051.0]), 100.0..100_000.0);
        assert_eq!(decades([100.0]), 100.0..1000.0);
    }

    #[test]
    fn a_picture_has_the_themes_colours_and_a_title() {
        let svg = picture("id", "a < b", &["{{x".to_owned()], 40, |area| {
            text(area, "words", (5, 20), Anchor::Left, Tone::Ours, true)
        });
        let svg = svg.unwrap();
        assert!(svg.contains(r##"#id [fill="#0B6BCB"]{fill:var(--ladder-data,var(--blue))}"##));
        assert!(svg.contains(r##"fill="#0B6BCB""##) && svg.contains("words"));
        assert!(svg.contains("a &lt; b") && !svg.contains("{{"));
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    }
}
