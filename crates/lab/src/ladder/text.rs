//! The ladder on a terminal.

use super::TextOptions;
use super::arrow::{Arrow, Ink, Leg};
use super::lanes::Life;
use super::layout::Layout;
use super::plot::Plot;
use super::rows::{Between, Ladder, Row, Tone, times};
use super::table::Grid;
use super::words::{char_width, clean, kernel, mark, shorten, verdict, width, wrap};
use crate::record::{Record, Table, Verdict};

/// How a character is coloured: the parameters of ANSI's "select graphic rendition".
type Colour = &'static str;

const PLAIN: Colour = "";
const BOLD: Colour = "1";
const DIM: Colour = "2";
const RED: Colour = "31";
const GREEN: Colour = "32";
const YELLOW: Colour = "33";

fn colour_of_tone(tone: Tone) -> Colour {
    match tone {
        Tone::Name => BOLD,
        Tone::Said => PLAIN,
        Tone::Complained => RED,
        Tone::Typed => "1;36",
        Tone::Ended => "35",
        Tone::Call => "34",
        Tone::State | Tone::More => DIM,
    }
}

fn colour_of_ink(ink: Ink) -> Colour {
    match ink {
        Ink::Data | Ink::Datagram => "34",
        Ink::Syn => GREEN,
        Ink::Fin => YELLOW,
        Ink::Rst => RED,
        Ink::Ack => DIM,
        Ink::Control => "35",
    }
}

/// Lines of characters, each with its colour; a character may take two columns, or none.
#[derive(Default)]
struct Canvas {
    lines: Vec<Vec<(String, Colour)>>,
}

impl Canvas {
    fn put(&mut self, line: usize, x: usize, text: &str, colour: Colour) {
        if self.lines.len() <= line {
            self.lines.resize_with(line + 1, Vec::new);
        }
        let cells = &mut self.lines[line];
        let mut at = x;
        for c in text.chars() {
            let width = char_width(c);
            if cells.len() < at + width {
                cells.resize(at + width, (" ".into(), PLAIN));
            }
            if width == 0 {
                if let Some((before, _)) = at.checked_sub(1).and_then(|at| cells.get_mut(at)) {
                    before.push(c);
                }
                continue;
            }
            cells[at] = (c.into(), colour);
            // The second column of a wide character is the character's own.
            cells[at + 1..at + width].fill((String::new(), colour));
            at += width;
        }
    }

    fn write(&self, out: &mut String, coloured: bool) {
        for line in &self.lines {
            let blank = |(text, _): &&(String, Colour)| text == " ";
            let used = line.len() - line.iter().rev().take_while(blank).count();
            let mut now = PLAIN;
            for (text, colour) in &line[..used] {
                // A blank has no colour: it may take its neighbour's.
                if coloured && *colour != now && text != " " {
                    if now != PLAIN {
                        out.push_str("\x1b[0m");
                    }
                    if *colour != PLAIN {
                        out.push_str(&format!("\x1b[{colour}m"));
                    }
                    now = colour;
                }
                out.push_str(text);
            }
            if now != PLAIN {
                out.push_str("\x1b[0m");
            }
            out.push('\n');
        }
    }
}

/// See [`super::text`].
pub(super) fn text(record: &Record, options: &TextOptions) -> String {
    let mut out = String::new();
    let room = options.width.max(20);
    let mut head = Canvas::default();
    let id = clean(&record.id);
    for (line, text) in wrap(&format!("{id} · {}", clean(&record.title)), room, None)
        .iter()
        .enumerate()
    {
        head.put(line, 0, text, PLAIN);
    }
    if width(&id) <= room {
        head.put(0, 0, &id, BOLD);
    }
    head.write(&mut out, options.colour);
    let ladder = Ladder::new(record);
    if !ladder.rows.is_empty() {
        out.push('\n');
        let limit = if options.full { None } else { Some(3) };
        let layout = Layout::new(&ladder, room, limit).filter(|_| room >= 60);
        match layout {
            Some(layout) => picture(&ladder, &layout).write(&mut out, options.colour),
            None => list(&ladder, room).write(&mut out, options.colour),
        }
    }
    for plot in Plot::all(record) {
        out.push('\n');
        gauge(&plot, room).write(&mut out, options.colour);
    }
    if !record.figures.is_empty() {
        out.push('\n');
        figures(record, room).write(&mut out, options.colour);
    }
    for table in &record.tables {
        out.push('\n');
        text_table(table, room).write(&mut out, options.colour);
    }
    out.push('\n');
    claims(record, room, options.verbose).write(&mut out, options.colour);
    out
}

fn picture(ladder: &Ladder, layout: &Layout) -> Canvas {
    let mut canvas = Canvas::default();
    for (number, lane) in ladder.lanes.iter().enumerate() {
        let (x, mut room) = layout.area(number);
        let x = if x < layout.lines[number] {
            x
        } else {
            layout.lines[number]
        };
        room += layout.area(number).0 - x;
        let names = wrap(&lane.tenants[0].name, room, None);
        for (line, name) in names.iter().enumerate() {
            canvas.put(line, x, name, BOLD);
        }
        for (line, place) in lane.tenants[0].place(room).iter().enumerate() {
            canvas.put(names.len() + line, x, place, DIM);
        }
    }
    canvas.put(0, layout.times - 2, "ms", DIM);
    for ((number, row), time) in ladder.rows.iter().enumerate().zip(times(&ladder.rows)) {
        let top = canvas.lines.len();
        if let Some(time) = time {
            let time = time.to_string();
            canvas.put(top, layout.times - time.len(), &time, DIM);
        }
        let texts = layout.place(row);
        let words = match &row.between {
            Between::More(between, words) => more(layout, *between, words),
            _ => Vec::new(),
        };
        let height = texts
            .iter()
            .map(|text| text.line + 1)
            .max()
            .unwrap_or(1)
            .max(words.len());
        for line in 0..height {
            for (lane, &x) in ladder.lanes.iter().zip(&layout.lines) {
                match lane.life(number, line) {
                    Life::Unborn => {}
                    Life::Alive => canvas.put(top + line, x, "│", DIM),
                    Life::Gone => canvas.put(top + line, x, "┊", DIM),
                }
            }
        }
        for text in &texts {
            canvas.put(
                top + text.line,
                text.x,
                &text.text,
                colour_of_tone(text.tone),
            );
        }
        for (line, (x, words)) in words.iter().enumerate() {
            canvas.put(top + line, *x, words, DIM);
        }
        match &row.between {
            Between::Arrow(way) => arrow(&mut canvas, top, layout, way),
            Between::Act(act) => {
                let room = layout.end.saturating_sub(layout.start()).max(40);
                for (line, words) in wrap(act, room - 6, None).iter().enumerate() {
                    let rule = "╌".repeat((room - 4).saturating_sub(width(words)));
                    let words = format!("╌╌ {words} {rule}");
                    canvas.put(top + line, layout.start(), &words, YELLOW);
                }
            }
            Between::Nothing | Between::More(..) => {}
        }
    }
    canvas
}

/// The words for left-out packets, in the middle between their lanes.
fn more(layout: &Layout, (from, to): (usize, usize), words: &[String; 2]) -> Vec<(usize, String)> {
    let (left, right) = (layout.lines[from] + 1, layout.lines[to]);
    let room = right - left;
    let together = words.join(", ");
    let lines: Vec<String> = match width(&together) + 2 <= room {
        true => vec![together],
        false => words
            .iter()
            .flat_map(|words| wrap(words, room, None))
            .collect(),
    };
    let centred = |line: String| (left + room.saturating_sub(width(&line)) / 2, line);
    lines.into_iter().map(centred).collect()
}

/// An arrow on a line of its own or beside text.
fn arrow(canvas: &mut Canvas, line: usize, layout: &Layout, arrow: &Arrow) {
    let (left, right) = arrow.span();
    let (left, right) = (layout.lines[left], layout.lines[right]);
    let rightwards = arrow.from < arrow.to;
    let inner = right - left - 1;
    let colour = colour_of_ink(arrow.ink);
    // Counted from the sender, so that both directions are drawn alike.
    let place = |step: usize| {
        if rightwards {
            left + 1 + step
        } else {
            right - 1 - step
        }
    };
    let label = arrow.label(inner.saturating_sub(4));
    let reach = match arrow.leg {
        Leg::Lost => (inner * 5 / 8).max(width(label) + 5).min(inner - 1),
        _ => inner,
    };
    let dash = if arrow.ink == Ink::Ack { "╌" } else { "─" };
    for step in 0..reach {
        let faint = match arrow.leg {
            Leg::Leaves => step > inner * 3 / 4,
            Leg::Arrives => step < inner / 4,
            Leg::Whole | Leg::Lost => false,
        };
        let x = place(step);
        let crossing = layout.lines.contains(&x);
        let dash = match (faint, crossing) {
            (_, true) => "┼",
            (true, false) => "┈",
            (false, false) => dash,
        };
        canvas.put(line, x, dash, colour);
    }
    if arrow.leg != Leg::Arrives {
        let sender = if rightwards {
            (left, "├")
        } else {
            (right, "┤")
        };
        canvas.put(line, sender.0, sender.1, colour);
    }
    match arrow.leg {
        Leg::Lost => canvas.put(line, place(reach - 1), "✗", RED),
        Leg::Leaves => {}
        Leg::Whole | Leg::Arrives => {
            canvas.put(
                line,
                place(inner - 1),
                if rightwards { "▶" } else { "◀" },
                colour,
            );
        }
    }
    // Over several lanes the label stands in the first gap if it fits there, else in the middle of all.
    let first_gap = match rightwards {
        true => layout.lines[arrow.from + 1] - left - 1,
        false => right - layout.lines[arrow.from - 1] - 1,
    };
    let room = if width(label) + 4 <= first_gap {
        first_gap.min(reach)
    } else {
        reach
    };
    let label = format!(" {} ", shorten(label, room.saturating_sub(3)));
    let before = (room - width(&label).min(room)) / 2;
    let x = match rightwards {
        true => place(before),
        false => place(before + width(&label) - 1),
    };
    canvas.put(line, x, &label, colour);
}

/// Everything one below the other: for terminals too narrow for columns.
fn list(ladder: &Ladder, room: usize) -> Canvas {
    let mut canvas = Canvas::default();
    for ((row, time), index) in ladder.rows.iter().zip(times(&ladder.rows)).zip(0..) {
        for (number, (words, colour)) in sentences(ladder, index, row).into_iter().enumerate() {
            let top = canvas.lines.len();
            if let Some(time) = time.filter(|_| number == 0) {
                canvas.put(top, 0, &format!("{time:>4}"), DIM);
            }
            for (line, words) in wrap(&words, room - 6, None).iter().enumerate() {
                canvas.put(top + line, 6, words, colour);
            }
        }
    }
    canvas
}

/// A row in words: `graceclient: now sending data1`, `graceclient → graceserver: PSH ACK  5 bytes`.
pub(super) fn sentences(ladder: &Ladder, number: usize, row: &Row) -> Vec<(String, Colour)> {
    let name = |lane: usize| &ladder.lanes[lane].tenant(number).name;
    let mut cells: Vec<_> = row.cells.iter().enumerate().collect();
    let mut out = Vec::new();
    let say = |lane: usize, cell: &[super::rows::Piece], out: &mut Vec<_>| {
        for piece in cell {
            out.push((
                format!("{}: {}", name(lane), piece.text),
                colour_of_tone(piece.tone),
            ));
        }
    };
    match &row.between {
        Between::Arrow(arrow) => {
            // The sender's words come before the packet, everybody else's after it.
            if arrow.leg != Leg::Arrives {
                let (lane, cell) = cells.remove(arrow.from);
                say(lane, cell, &mut out);
            }
            let end = match arrow.leg {
                Leg::Lost => " ✗ lost",
                Leg::Leaves => " …",
                Leg::Arrives => " arrives",
                Leg::Whole => "",
            };
            let ends = format!("{} → {}", name(arrow.from), name(arrow.to));
            out.push((
                format!("{ends}: {}{end}", arrow.labels[0]),
                colour_of_ink(arrow.ink),
            ));
        }
        Between::More((from, to), words) => {
            out.push((
                format!("{} ↔ {}: {}", name(*from), name(*to), words.join(", ")),
                DIM,
            ));
        }
        Between::Act(act) => out.push((format!("╌╌ {act}"), YELLOW)),
        Between::Nothing => {}
    }
    for (lane, cell) in cells {
        say(lane, cell, &mut out);
    }
    out
}

/// A plot, four lines high.
fn gauge(plot: &Plot, room: usize) -> Canvas {
    const HEIGHT: usize = 4;
    let blocks = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
    let mut canvas = Canvas::default();
    canvas.put(0, 2, &shorten(&plot.name(), room - 2), BOLD);
    let values = plot.values();
    let top = values.last().map_or("", |(_, words)| words.as_str());
    let x = 2 + top.len().max(4) + 1;
    if room < x + 24 {
        canvas.put(1, 4, &shorten(&format!("up to {top}"), room - 4), PLAIN);
        return canvas;
    }
    canvas.put(1, x - 1 - top.len(), top, DIM);
    canvas.put(HEIGHT, x - 2, "0", DIM);
    let cells = (room - x - 8).min(80);
    for line in 0..HEIGHT {
        canvas.put(1 + line, x, if line == 0 { "┤" } else { "│" }, DIM);
    }
    for (cell, value) in plot.sampled(cells).into_iter().enumerate() {
        let mut eighths = (value * (HEIGHT * 8) as f64).round() as usize;
        if value > 0.0 {
            eighths = eighths.max(1);
        }
        for line in 0..HEIGHT {
            let here = eighths.saturating_sub((HEIGHT - 1 - line) * 8).min(8);
            canvas.put(1 + line, x + 1 + cell, blocks[here], "34");
        }
    }
    canvas.put(HEIGHT + 1, x, &format!("└{}", "─".repeat(cells)), DIM);
    let mut free = x;
    for (place, words) in plot.times() {
        let at = x + 1 + ((place * cells as f64) as usize).min(cells - 1);
        let start = at.saturating_sub(words.len() / 2);
        if start >= free && start + words.len() <= x + 1 + cells {
            canvas.put(HEIGHT + 1, at, "┴", DIM);
            canvas.put(HEIGHT + 2, start, &words, DIM);
            free = start + words.len() + 2;
        }
    }
    canvas.put(HEIGHT + 2, x + 2 + cells, "ms", DIM);
    canvas
}

fn figures(record: &Record, room: usize) -> Canvas {
    let mut canvas = Canvas::default();
    let names: Vec<String> = record.figures.iter().map(|(name, _)| clean(name)).collect();
    let longest = names
        .iter()
        .map(|name| width(name))
        .max()
        .unwrap_or(0)
        .min(room / 2);
    for (name, (_, value)) in names.iter().zip(&record.figures) {
        let top = canvas.lines.len();
        for (line, name) in wrap(name, longest, None).iter().enumerate() {
            canvas.put(top + line, 2, name, DIM);
        }
        let x = 2 + longest + 2;
        for (line, value) in wrap(&clean(value), room.saturating_sub(x), None)
            .iter()
            .enumerate()
        {
            canvas.put(top + line, x, value, PLAIN);
        }
    }
    canvas
}

fn text_table(table: &Table, room: usize) -> Canvas {
    let mut canvas = Canvas::default();
    let grid = Grid::new(table);
    let cells = room.saturating_sub(grid.width + 4).min(40);
    for (line, row) in grid.rows.iter().enumerate() {
        let style = if line == 0 { DIM } else { PLAIN };
        for (x, cell) in row {
            canvas.put(line, 2 + x, cell, style);
        }
        if let Some(share) = line.checked_sub(1).map(|row| grid.shares[row]) {
            let bar = "█".repeat((share * cells as f64).round() as usize);
            canvas.put(line, 2 + grid.width + 2, &bar, DIM);
        }
    }
    canvas
}

/// What was seen of a claim, below it.
fn seen(canvas: &mut Canvas, seen: &str, room: usize, limit: Option<usize>) {
    let lines = seen.lines().filter(|line| !line.trim().is_empty());
    for (number, seen) in lines.enumerate() {
        let top = canvas.lines.len();
        for (line, words) in wrap(&clean(seen), room - 10, limit).iter().enumerate() {
            canvas.put(top + line, 10, words, DIM);
        }
        if number == 0 {
            canvas.put(top, 4, "seen:", DIM);
        }
    }
}

/// See [`super::control_text`].
pub(super) fn control(change: &str, record: &Record, options: &TextOptions) -> String {
    let room = options.width.max(20);
    let mut canvas = Canvas::default();
    for (line, words) in wrap(&format!("control: {}", clean(change)), room, None)
        .iter()
        .enumerate()
    {
        canvas.put(line, 0, words, PLAIN);
    }
    for claim in record.claims.iter().filter(|claim| claim.central) {
        let top = canvas.lines.len();
        let (mark, colour, words) = match claim.verdict {
            Verdict::Unseen => ("–", DIM, clean(&claim.sentence)),
            _ => (
                "✓",
                GREEN,
                format!("fails, as it must: {}", clean(&claim.sentence)),
            ),
        };
        canvas.put(top, 2, mark, colour);
        for (line, words) in wrap(&words, room - 4, None).iter().enumerate() {
            canvas.put(top + line, 4, words, PLAIN);
        }
        let limit = if options.full { None } else { Some(3) };
        seen(&mut canvas, &claim.seen, room, limit);
    }
    let mut out = String::from("\n");
    canvas.write(&mut out, options.colour);
    out
}

fn claims(record: &Record, room: usize, verbose: bool) -> Canvas {
    let mut canvas = Canvas::default();
    for claim in &record.claims {
        let top = canvas.lines.len();
        let colour = match claim.verdict {
            Verdict::Holds => GREEN,
            Verdict::Fails => RED,
            Verdict::Discovery => YELLOW,
            Verdict::Unseen => DIM,
        };
        canvas.put(top, 2, mark(claim.verdict), colour);
        let strong = match claim.verdict {
            Verdict::Fails => RED,
            _ if claim.central => BOLD,
            _ => PLAIN,
        };
        for (line, words) in wrap(&clean(&claim.sentence), room - 4, None)
            .iter()
            .enumerate()
        {
            canvas.put(top + line, 4, words, strong);
        }
        if verbose || claim.verdict != Verdict::Holds {
            seen(&mut canvas, &claim.seen, room, None);
        }
    }
    let took = format!("{:.2} s", record.took.as_secs_f64());
    let closing = format!("{} · {took} · {}", verdict(record), kernel(record));
    let good = record
        .claims
        .iter()
        .all(|claim| claim.verdict == Verdict::Holds);
    let colour = match (record.holds(), good) {
        _ if record.claims.is_empty() => PLAIN,
        (_, true) => "1;32",
        (true, false) => BOLD,
        (false, _) => "1;31",
    };
    let top = canvas.lines.len();
    for (line, words) in wrap(&closing, room - 2, None).iter().enumerate() {
        canvas.put(top + line, 2, words, PLAIN);
    }
    let verdict = verdict(record);
    if width(&verdict) <= room - 2 {
        canvas.put(top, 2, &verdict, colour);
    }
    canvas
}
