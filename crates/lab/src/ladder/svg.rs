//! The ladder as a picture for the book.

use std::collections::HashMap;
use std::fmt::{Display, Write};

use super::arrow::{Arrow, Ink, Leg};
use super::lanes::Lane;
use super::layout::{Layout, Placed};
use super::plot::Plot;
use super::rows::{Between, Ladder, Row, Tone, text_at_left, times};
use super::table::Grid;
use super::words::{clean, kernel, shorten, width, wrap, wrap_name};
use crate::record::Record;

/// Width of a character of the usual monospaced fonts at 13 px: 0.602 em is the widest of them.
const CHARACTER: f64 = 7.83;
/// Height of a line of text, and of what parts one row from the next.
const LINE: f64 = 18.0;
const ROW_GAP: f64 = 7.0;
/// Blank space around everything.
const MARGIN: f64 = 10.0;
/// How many characters stand side by side: 960 px.
const ROOM: usize = 120;
/// Where nothing happened for so long, the rows stand further apart.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// Colours follow the page: text is `currentColor`, the others have a light and a dark tone, by the page's `color-scheme`, and
/// can be set by the page (`--ladder-data`, `-syn`, `-fin`, `-rst`, `-control`). As a file of its own (`svg:root`) the picture
/// follows the reader's preference.
const STYLE: &str = "\
#ID{max-width:100%;height:auto;font:13px ui-monospace,'SF Mono',Menlo,'DejaVu Sans Mono','Liberation Mono',Consolas,monospace;\
--blue:#3b7dd8;--green:#2e9e4f;--amber:#b7791f;--red:#e0483e;--violet:#9b6bdf}
@supports (color:light-dark(red,red)){#ID{--blue:light-dark(#1a66d0,#74b4ff);--green:light-dark(#1b8040,#5fd488);\
--amber:light-dark(#9a5b00,#e8b650);--red:light-dark(#cf222e,#ff8078);--violet:light-dark(#7a45d6,#c4a0ff)}}
svg:root#ID{color-scheme:light dark;color:#57606a;background:#f6f8fa}
@supports (color:light-dark(red,red)){svg:root#ID{color:light-dark(#1f2328,#d5dbe3);background:light-dark(#fff,#161923)}}
#ID text{fill:currentColor;white-space:pre}
#ID .dim,#ID .state,#ID .more{fill-opacity:.62}
#ID .more{font-style:italic}
#ID .b{font-weight:600}
#ID .mid{text-anchor:middle}
#ID .end{text-anchor:end}
#ID .small{font-size:11.5px}
#ID line,#ID path{stroke:currentColor;fill:none;stroke-width:1.4}
#ID .life{stroke-opacity:.3}
#ID .gone{stroke-opacity:.3;stroke-dasharray:2 4}
#ID .box{fill:currentColor;fill-opacity:.06;stroke:currentColor;stroke-opacity:.35}
#ID .grid{stroke-opacity:.14;stroke-width:1}
#ID .typed,#ID .call{fill:var(--ladder-data,var(--blue))}
#ID .typed{font-weight:600}
#ID .ended{fill:var(--ladder-control,var(--violet))}
#ID .complained{fill:var(--ladder-rst,var(--red))}
#ID .data{--c:var(--ladder-data,var(--blue))}
#ID .syn{--c:var(--ladder-syn,var(--green))}
#ID .fin,#ID .act{--c:var(--ladder-fin,var(--amber))}
#ID .rst,#ID .lost{--c:var(--ladder-rst,var(--red))}
#ID .control{--c:var(--ladder-control,var(--violet))}
#ID .ack{--c:currentColor;opacity:.55}
#ID .ack line{stroke-dasharray:4 3}
#ID g text{fill:var(--c)}
#ID g line,#ID g path,#ID .lost{stroke:var(--c)}
#ID g .head{fill:var(--c);stroke:none}
#ID .act line{stroke-dasharray:7 5}
#ID g .area{fill:var(--c);fill-opacity:.13;stroke:none}";

fn class_of_tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Name => "b",
        Tone::Said => "said",
        Tone::Complained => "complained",
        Tone::Typed => "typed",
        Tone::Ended => "ended",
        Tone::Call => "call",
        Tone::State => "state",
        Tone::More => "more",
    }
}

fn class_of_ink(ink: Ink) -> &'static str {
    match ink {
        Ink::Data | Ink::Datagram => "data",
        Ink::Syn => "syn",
        Ink::Fin => "fin",
        Ink::Rst => "rst",
        Ink::Ack => "ack",
        Ink::Control => "control",
    }
}

/// Text for XML. Braces too: mdbook reads `{{` as its own.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '{' => out.push_str("&#123;"),
            c => out.push(c),
        }
    }
    out
}

/// A length in px with one digit behind the point, none where it is 0.
struct Px(f64);

impl Display for Px {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}", (self.0 * 10.0).round() / 10.0)
    }
}

fn x_of(column: usize) -> f64 {
    MARGIN + column as f64 * CHARACTER
}

/// The picture as it grows downwards.
struct Drawing {
    out: String,
    y: f64,
    /// How far it reaches to the right.
    right: f64,
}

impl Drawing {
    fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let (x, y) = (Px(x), Px(y));
        let _ = writeln!(
            self.out,
            r#"<text x="{x}" y="{y}" class="{class}">{}</text>"#,
            escape(text)
        );
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let class = if class.is_empty() {
            String::new()
        } else {
            format!(r#" class="{class}""#)
        };
        let (x1, y1, x2, y2) = (Px(from.0), Px(from.1), Px(to.0), Px(to.1));
        let _ = writeln!(
            self.out,
            r#"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"{class}/>"#
        );
    }

    fn path(&mut self, class: &str, path: &str) {
        let _ = writeln!(self.out, r#"<path class="{class}" d="{path}"/>"#);
    }

    fn group(&mut self, class: &str, inside: impl FnOnce(&mut Self)) {
        let _ = writeln!(self.out, r#"<g class="{class}">"#);
        inside(self);
        self.out.push_str("</g>\n");
    }
}

/// See [`super::svg`].
pub(super) fn svg(record: &Record) -> String {
    let ladder = Ladder::new(record);
    let mut drawing = Drawing {
        out: String::new(),
        y: MARGIN,
        right: 560.0,
    };
    // Eight lanes and more may need a wider picture; a reader can still zoom in.
    let layout = [ROOM, 160, 240, 400]
        .into_iter()
        .find_map(|room| Layout::new(&ladder, room, Some(8)));
    if let Some(layout) = layout.filter(|_| !ladder.rows.is_empty()) {
        let end = layout.lines.last().map_or(0, |_| layout.end);
        drawing.right = drawing.right.max(x_of(end));
        picture(&mut drawing, record, &ladder, &layout);
    } else {
        heading(&mut drawing, record);
    }
    for plot in Plot::all(record) {
        gauge(&mut drawing, &plot);
    }
    figures(&mut drawing, record);
    for table in &record.tables {
        grid(&mut drawing, &Grid::new(table));
    }
    let (x, y) = (drawing.right, drawing.y + 12.0);
    // Where a name stands above the times, there is no room for their unit. Where nothing is drawn there are no times.
    let unit = if ladder.rows.is_empty() || text_at_left(0, ladder.lanes.len()) {
        ""
    } else {
        "times in ms · "
    };
    drawing.text(
        x,
        y,
        "dim small end",
        &format!("{unit}seen on {}", kernel(record)),
    );
    drawing.y += 16.0;
    page(record, &ladder, &drawing)
}

/// The element around the drawing.
fn page(record: &Record, ladder: &Ladder, drawing: &Drawing) -> String {
    let name = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let id: String = format!("ladder-{}", record.id).chars().map(name).collect();
    let (width, height) = ((drawing.right + MARGIN).ceil(), (drawing.y + MARGIN).ceil());
    let title = escape(&format!("{}: {}", clean(&record.id), clean(&record.title)));
    let words = ladder
        .rows
        .iter()
        .enumerate()
        .flat_map(|(number, row)| super::text::sentences(ladder, number, row));
    let description: Vec<String> = words.map(|(words, _)| escape(&words)).collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" id=\"{id}\" class=\"ladder\" role=\"img\" \
         aria-labelledby=\"{id}-title {id}-desc\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" xml:space=\"preserve\">\n\
         <title id=\"{id}-title\">{title}</title>\n\
         <desc id=\"{id}-desc\">{}.</desc>\n\
         <style>\n{}\n</style>\n{}</svg>\n",
        description.join(";\n"),
        STYLE.replace("#ID", &format!("#{id}")),
        drawing.out,
    )
}

fn heading(drawing: &mut Drawing, record: &Record) {
    let id = clean(&record.id);
    let room = ((drawing.right - MARGIN) / CHARACTER) as usize;
    for (number, line) in wrap(&format!("{id} · {}", clean(&record.title)), room, None)
        .iter()
        .enumerate()
    {
        let y = drawing.y + 13.0;
        // The id in bold, in its place before the rest of the line.
        let rest = if number == 0 {
            line.strip_prefix(&id)
        } else {
            None
        };
        drawing.text(
            x_of(width(&id) * usize::from(rest.is_some())),
            y,
            "",
            rest.unwrap_or(line),
        );
        if rest.is_some() {
            drawing.text(MARGIN, y, "b", &id);
        }
        drawing.y += LINE;
    }
    drawing.y += 12.0;
}

fn picture(drawing: &mut Drawing, record: &Record, ladder: &Ladder, layout: &Layout) {
    heading(drawing, record);
    names(drawing, ladder, layout);
    let places: Vec<Vec<Placed>> = ladder.rows.iter().map(|row| layout.place(row)).collect();
    // Where each row begins: an arrow may end in a later row than it begins in.
    let mut tops = Vec::new();
    let mut y = drawing.y + 6.0;
    let mut before = None;
    for (row, texts) in ladder.rows.iter().zip(&places) {
        if before.is_some_and(|before| row.at.saturating_sub(before) >= PAUSE) {
            y += 12.0;
        }
        before = Some(row.at);
        tops.push(y);
        let lines = texts.iter().map(|text| text.line + 1).max().unwrap_or(1);
        let lines = lines.max(if more_in_two(row, layout) { 2 } else { 1 });
        y += lines as f64 * LINE + ROW_GAP;
    }
    let ways = ways(ladder, layout, &tops);
    let mut covered = Vec::new();
    for (texts, top) in places.iter().zip(&tops) {
        let areas = texts.iter().map(|text| Area {
            left: x_of(text.x),
            right: x_of(text.x + width(&text.text)),
            top: top + text.line as f64 * LINE,
            bottom: top + (text.line + 1) as f64 * LINE,
        });
        covered.extend(areas);
    }
    covered.extend(ways.iter().map(Way::label_area));
    lifelines(drawing, ladder, layout, &covered, &tops, y + 4.0);
    for ((number, row), time) in ladder.rows.iter().enumerate().zip(times(&ladder.rows)) {
        let top = tops[number];
        if let Some(time) = time {
            drawing.text(x_of(layout.times), top + 13.0, "dim end", &time.to_string());
        }
        for text in &places[number] {
            let y = top + 13.0 + text.line as f64 * LINE;
            drawing.text(x_of(text.x), y, class_of_tone(text.tone), &text.text);
        }
        if let Between::Act(act) = &row.between {
            across(drawing, layout, act, top + 8.5);
        }
        for way in ways.iter().filter(|way| way.row == number) {
            way.draw(drawing);
        }
    }
    // On top of all arrows: those that slope may cross these rows.
    for (row, top) in ladder.rows.iter().zip(&tops) {
        left_out(drawing, layout, row, *top);
    }
    drawing.y = y + 8.0;
}

/// The words for packets that are left out, where some are.
fn left_out(drawing: &mut Drawing, layout: &Layout, row: &Row, top: f64) {
    let Between::More((from, to), words) = &row.between else {
        return;
    };
    let middle = (x_of(layout.lines[*from]) + x_of(layout.lines[*to])) / 2.0;
    let lines = match more_in_two(row, layout) {
        true => words.to_vec(),
        false => vec![words.join(", ")],
    };
    for (line, words) in lines.iter().enumerate() {
        drawing.text(middle, top + 13.0 + line as f64 * LINE, "more mid", words);
    }
}

/// Whether the words for left-out packets need two lines.
fn more_in_two(row: &Row, layout: &Layout) -> bool {
    match &row.between {
        Between::More((from, to), words) => {
            width(&words.join(", ")) + 2 > layout.lines[*to] - layout.lines[*from]
        }
        _ => false,
    }
}

/// The lanes' names, each in a box on top of its lifeline.
fn names(drawing: &mut Drawing, ladder: &Ladder, layout: &Layout) {
    let top = drawing.y;
    let lines = &layout.lines;
    let boxes: Vec<_> = { ladder.lanes.iter().zip(rooms(ladder, layout)) }
        .zip(lines)
        .map(|((lane, room), &line)| {
            let tenant = &lane.tenants[0];
            // The frame is drawn closer where the name needs it.
            let inside = room
                .saturating_sub(4)
                .max(width(&tenant.name).min(room - 2));
            let names = wrap_name(&tenant.name, inside);
            (x_of(line), room, names, tenant.place(inside))
        })
        .collect();
    let height = boxes
        .iter()
        .map(|(_, _, names, places)| names.len() + places.len())
        .max()
        .unwrap_or(1);
    let height = height as f64 * 16.0 + 9.0;
    if text_at_left(0, lines.len()) {
        drawing.text(x_of(layout.times), top + 24.0, "dim small end", "ms");
    }
    for (x, room, names, places) in boxes {
        let all = || {
            names
                .iter()
                .map(|line| (line, "b mid"))
                .chain(places.iter().map(|line| (line, "dim small mid")))
        };
        let longest = all().map(|(line, _)| width(line.trim())).max().unwrap_or(0) as f64;
        let half = (longest * CHARACTER / 2.0 + 10.0).min(room as f64 * CHARACTER / 2.0 - 2.0);
        let half = half.round();
        // The first lane may be nearer to the edge than that.
        let x = x.max(half + 2.0);
        let _ = writeln!(
            drawing.out,
            r#"<rect class="box" x="{}" y="{top}" width="{}" height="{height}" rx="6"/>"#,
            Px(x - half),
            half * 2.0,
        );
        let blank = (height - 9.0 - all().count() as f64 * 16.0) / 2.0;
        for (number, (line, class)) in all().enumerate() {
            drawing.text(
                x,
                top + blank + 16.0 + number as f64 * 16.0,
                class,
                line.trim(),
            );
        }
        drawing.right = drawing.right.max(x + half);
    }
    drawing.y = top + height;
}

/// How wide each box may be, in characters. Half the way to a neighbour belongs to it, and more where the neighbour's name is
/// short: a name in two pieces is hard to read.
fn rooms(ladder: &Ladder, layout: &Layout) -> Vec<usize> {
    let lines = &layout.lines;
    let wish = |lane: &Lane| width(&lane.tenants[0].name) + 4;
    let wishes: Vec<usize> = ladder.lanes.iter().map(wish).collect();
    // What is at its left leaves a box so much room, and what is at its right.
    let mut sides: Vec<[usize; 2]> = wishes.iter().map(|&wish| [wish; 2]).collect();
    if let (Some(last), Some(&line)) = (sides.last_mut(), lines.last()) {
        last[1] = (2 * (layout.end - line)).max(last[1]);
    }
    for right in 1..lines.len() {
        let gap = lines[right] - lines[right - 1];
        let (one, other) = (wishes[right - 1], wishes[right]);
        let one = match (one > gap, other > gap) {
            (true, false) => one.min(2 * gap - other),
            (false, true) => 2 * gap - other.min(2 * gap - one),
            _ => gap,
        };
        (sides[right - 1][1], sides[right][0]) = (one, 2 * gap - one);
    }
    if let (Some(first), Some(&line)) = (sides.first_mut(), lines.first()) {
        // Where the edge is near the box is moved to the right, and has less room there.
        let edge = 2 * line + 2;
        first[0] = wishes[0].min((edge + first[1]) / 2).max(edge);
    }
    let room = |[left, right]: [usize; 2]| left.min(right).max(8);
    sides.into_iter().map(room).collect()
}

/// A rectangle.
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

/// The lifelines, broken where text runs across them, dotted once the process has ended.
fn lifelines(
    drawing: &mut Drawing,
    ladder: &Ladder,
    layout: &Layout,
    covered: &[Area],
    tops: &[f64],
    bottom: f64,
) {
    for (lane, &column) in ladder.lanes.iter().zip(&layout.lines) {
        let x = x_of(column);
        let across = |area: &&Area| area.left - 2.0 < x && x < area.right + 2.0;
        let mut holes: Vec<&Area> = covered.iter().filter(across).collect();
        holes.sort_by(|one, other| one.top.total_cmp(&other.top));
        let mut from = drawing.y;
        for (number, tenant) in lane.tenants.iter().enumerate() {
            let next = lane.tenants.get(number + 1).and_then(|next| next.begins);
            let next = next.map_or(bottom, |row| tops[row] + 4.0);
            let end = tenant.ends.map_or(next, |row| tops[row] + 14.0);
            lifeline(drawing, x, (from, end), &holes, "life");
            lifeline(drawing, x, (end + 4.0, next), &holes, "gone");
            from = next;
        }
    }
}

fn lifeline(
    drawing: &mut Drawing,
    x: f64,
    (mut from, to): (f64, f64),
    holes: &[&Area],
    class: &str,
) {
    for hole in holes {
        if hole.bottom <= from || hole.top >= to {
            continue;
        }
        if from < hole.top {
            drawing.line((x, from), (x, hole.top), class);
        }
        from = from.max(hole.bottom);
    }
    if from < to {
        drawing.line((x, from), (x, to), class);
    }
}

/// An arrow with its place.
struct Way<'a> {
    arrow: &'a Arrow,
    /// The row in which it begins.
    row: usize,
    from: (f64, f64),
    to: (f64, f64),
    label: String,
    /// Where its label's middle stands, and how long half of it is, as parts of the way.
    middle: f64,
    half: f64,
    /// Where the line ends: before the whole way for what is lost.
    reach: f64,
}

/// All arrows with their places. The label of one that slopes stands where no other arrow crosses it.
fn ways<'a>(ladder: &'a Ladder, layout: &Layout, tops: &[f64]) -> Vec<Way<'a>> {
    let mut arrives = HashMap::new();
    for (row, top) in ladder.rows.iter().zip(tops) {
        if let Between::Arrow(arrow) = &row.between
            && arrow.leg == Leg::Arrives
        {
            arrives.insert(arrow.number, *top);
        }
    }
    let mut ways: Vec<Way> = Vec::new();
    for (number, (row, &top)) in ladder.rows.iter().zip(tops).enumerate() {
        if let Between::Arrow(arrow) = &row.between
            && arrow.leg != Leg::Arrives
        {
            let end = arrives.get(&arrow.number).map_or(top, |top| *top);
            ways.push(Way::new(arrow, number, layout, (top + 8.5, end + 8.5)));
        }
    }
    for number in 0..ways.len() {
        if ways[number].arrow.leg == Leg::Leaves {
            let distance = |middle: &f64| {
                let others = ways
                    .iter()
                    .enumerate()
                    .filter(|(other, _)| *other != number);
                let nearest = others.map(|(_, other)| ways[number].distance(*middle, other));
                nearest.fold(f64::MAX, f64::min)
            };
            let least = ways[number].half + 0.05;
            let places = [0.3, 0.24, 0.36, 0.42, 0.18, 0.5, 0.58, 0.66, 0.74];
            let places = || {
                places
                    .into_iter()
                    .filter(|middle| (least..1.0 - least).contains(middle))
            };
            let free = places().find(|middle| distance(middle) > 12.0);
            let best = free.or_else(|| {
                places().max_by(|one, other| distance(one).total_cmp(&distance(other)))
            });
            ways[number].middle = best.unwrap_or(0.5);
        }
    }
    ways
}

impl<'a> Way<'a> {
    fn new(arrow: &'a Arrow, row: usize, layout: &Layout, (start, end): (f64, f64)) -> Self {
        let (from, to) = (x_of(layout.lines[arrow.from]), x_of(layout.lines[arrow.to]));
        let length = (to - from).abs();
        let columns = layout.lines[arrow.from].abs_diff(layout.lines[arrow.to]);
        let label = shorten(
            arrow.label(columns.saturating_sub(5)),
            columns.saturating_sub(4),
        );
        let labelled = width(&label) as f64 * CHARACTER + 12.0;
        // One that takes its time slopes, even where nothing else happens meanwhile.
        let slow = arrow.leg == Leg::Whole && arrow.delay >= super::rows::DELAY;
        let (start, end) = if slow {
            (start - 4.0, end + 5.0)
        } else {
            (start, end)
        };
        let reach = match arrow.leg {
            Leg::Lost => (0.62f64).max((labelled + 24.0) / length).min(0.96),
            _ => 1.0,
        };
        // Of several gaps the label takes the first if it fits there.
        let neighbour = if from < to {
            arrow.from + 1
        } else {
            arrow.from - 1
        };
        let gap = (x_of(layout.lines[neighbour]) - from).abs();
        let room = if labelled + 30.0 < gap {
            (gap / length).min(reach)
        } else {
            reach
        };
        Self {
            arrow,
            row,
            from: (from, start),
            to: (to, end),
            label,
            middle: room / 2.0,
            half: labelled / 2.0 / length,
            reach,
        }
    }

    fn at(&self, part: f64) -> (f64, f64) {
        let ((x1, y1), (x2, y2)) = (self.from, self.to);
        (x1 + (x2 - x1) * part, y1 + (y2 - y1) * part)
    }

    /// How far away another arrow passes above or below the label, if it stood there.
    fn distance(&self, middle: f64, other: &Way) -> f64 {
        let of = |part: f64| {
            let (x, y) = self.at(part);
            let way = other.to.0 - other.from.0;
            let passes = (x - other.from.0) / way;
            (0.0..=1.0)
                .contains(&passes)
                .then(|| other.at(passes).1 - y)
        };
        match (of(middle - self.half), of(middle + self.half)) {
            (Some(one), Some(two)) if one.signum() == two.signum() => one.abs().min(two.abs()),
            (Some(_), Some(_)) => 0.0,
            (Some(one), None) | (None, Some(one)) => one.abs(),
            (None, None) => f64::MAX,
        }
    }

    fn label_area(&self) -> Area {
        let (one, other) = (
            self.at(self.middle - self.half),
            self.at(self.middle + self.half),
        );
        Area {
            left: one.0.min(other.0),
            right: one.0.max(other.0),
            top: one.1.min(other.1) - 8.0,
            bottom: one.1.max(other.1) + 8.0,
        }
    }

    fn draw(&self, drawing: &mut Drawing) {
        let rightwards = self.from.0 < self.to.0;
        let length = (self.to.0 - self.from.0).abs();
        let slope = ((self.to.1 - self.from.1) / (self.to.0 - self.from.0))
            .atan()
            .to_degrees();
        let turned = |at| {
            if slope.abs() < 0.5 {
                String::new()
            } else {
                turned(slope, at)
            }
        };
        let lost = self.arrow.leg == Leg::Lost;
        drawing.group(class_of_ink(self.arrow.ink), |drawing| {
            drawing.line(self.at(0.0), self.at(self.middle - self.half), "");
            let end = if lost { self.reach } else { 1.0 - 4.0 / length };
            if self.middle + self.half < end {
                drawing.line(self.at(self.middle + self.half), self.at(end), "");
            }
            if !lost {
                let back = if rightwards { -9 } else { 9 };
                let head = format!("M{} {}l{back} -4.5v9z", Px(self.to.0), Px(self.to.1));
                let _ = writeln!(
                    drawing.out,
                    r#"<path class="head" d="{head}"{}/>"#,
                    turned(self.to)
                );
            }
            let (x, y) = self.at(self.middle);
            let turn = turned((x, y));
            let (x, y, label) = (Px(x), Px(y + 4.5), escape(&self.label));
            let _ = writeln!(
                drawing.out,
                r#"<text x="{x}" y="{y}" class="mid"{turn}>{label}</text>"#
            );
        });
        if lost {
            let (x, y) = self.at(self.reach);
            let cross = format!("M{} {}l9 9m0 -9l-9 9", Px(x - 4.5), Px(y - 4.5));
            drawing.path("lost", &cross);
        }
    }
}

fn turned(degrees: f64, (x, y): (f64, f64)) -> String {
    format!(
        r#" transform="rotate({} {} {})""#,
        Px(degrees),
        Px(x),
        Px(y)
    )
}

/// What the lab did, across the width.
fn across(drawing: &mut Drawing, layout: &Layout, act: &str, y: f64) {
    let (left, right) = (x_of(layout.start()), drawing.right);
    let room = ((right - left) / CHARACTER) as usize;
    let act = shorten(act, room.saturating_sub(6));
    let half = width(&act) as f64 * CHARACTER / 2.0 + 8.0;
    let middle = (left + right) / 2.0;
    drawing.group("act", |drawing| {
        drawing.line((left, y), (middle - half, y), "");
        drawing.line((middle + half, y), (right, y), "");
        drawing.text(middle, y + 4.5, "mid b", &act);
    });
}

/// A plot: steps, because a value stays until the next.
fn gauge(drawing: &mut Drawing, plot: &Plot) {
    const HEIGHT: f64 = 84.0;
    let values = plot.values();
    let longest = values
        .iter()
        .map(|(_, words)| words.len())
        .max()
        .unwrap_or(1);
    drawing.y += 14.0;
    let left = MARGIN + longest.max(6) as f64 * CHARACTER + 8.0;
    let right = drawing.right - 30.0;
    drawing.text(left, drawing.y + 13.0, "b", &plot.name());
    let top = drawing.y + 26.0;
    let x = |part: f64| left + (right - left) * part;
    let y = |part: f64| top + HEIGHT * (1.0 - part);
    for (place, words) in values {
        drawing.line((left, y(place)), (right, y(place)), "grid");
        drawing.text(left - 6.0, y(place) + 4.0, "dim small end", &words);
    }
    let mut free = 0.0;
    for (place, words) in plot.times() {
        let half = words.len() as f64 * CHARACTER / 2.0;
        if x(place) - half > free {
            drawing.line((x(place), y(0.0)), (x(place), y(0.0) + 4.0), "life");
            drawing.text(x(place), y(0.0) + 17.0, "dim small mid", &words);
            free = x(place) + half + 6.0;
        }
    }
    drawing.text(right + 6.0, y(0.0) + 4.0, "dim small", "ms");
    let mut steps = String::new();
    let points = plot.points();
    for (number, &(at, value)) in points.iter().enumerate() {
        let (x, y) = (Px(x(at)), Px(y(value)));
        let _ = if number == 0 {
            write!(steps, "M{x} {y}")
        } else {
            write!(steps, "H{x}V{y}")
        };
    }
    let first = points.first().map_or(0.0, |point| point.0);
    let area = format!("{steps}V{}H{}Z", Px(y(0.0)), Px(x(first)));
    drawing.group("data", |drawing| {
        drawing.path("area", &area);
        drawing.path("", &steps);
    });
    drawing.y = y(0.0) + 24.0;
}

fn grid(drawing: &mut Drawing, grid: &Grid) {
    drawing.y += 14.0;
    let left = x_of(grid.width + 4);
    drawing.right = drawing.right.max(left + 120.0);
    let room = drawing.right - left;
    for (line, row) in grid.rows.iter().enumerate() {
        let class = if line == 0 { "dim" } else { "" };
        for (x, cell) in row {
            drawing.text(x_of(2 + x), drawing.y + 13.0, class, cell);
        }
        if let Some(share) = line.checked_sub(1).map(|row| grid.shares[row]) {
            let (top, right) = (drawing.y + 2.0, left + room * share);
            drawing.group("data", |drawing| {
                let bar = format!("M{left} {top}H{}V{}H{left}Z", Px(right), Px(top + 13.0));
                drawing.path("area", &bar);
            });
        }
        drawing.y += LINE;
    }
}

fn figures(drawing: &mut Drawing, record: &Record) {
    if record.figures.is_empty() {
        return;
    }
    drawing.y += 10.0;
    let room = ((drawing.right - MARGIN) / CHARACTER) as usize;
    let names = record.figures.iter().map(|(name, _)| width(&clean(name)));
    let longest = names.max().unwrap_or(0).min(room / 2);
    for (name, value) in &record.figures {
        let names = wrap(&clean(name), longest, None);
        let values = wrap(&clean(value), room.saturating_sub(longest + 4), None);
        for (lines, column, class) in [(&names, 2, "dim"), (&values, longest + 4, "")] {
            for (number, line) in lines.iter().enumerate() {
                drawing.text(
                    x_of(column),
                    drawing.y + 13.0 + number as f64 * LINE,
                    class,
                    line,
                );
            }
        }
        drawing.y += names.len().max(values.len()) as f64 * LINE;
    }
}
