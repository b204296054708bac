//! Where everything stands, in columns of characters: the terminal and the SVG share it.

use super::lanes::Lane;
use super::rows::{Between, Ladder, Row, Tone, text_at_left};
use super::words::{width, wrap};

/// A text at its place: the line within its row, and the column.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) line: usize,
    pub(super) x: usize,
    pub(super) tone: Tone,
    pub(super) text: String,
}

/// Places of the lanes and their texts.
#[derive(Debug)]
pub(super) struct Layout {
    /// Width of the column of times; two blanks follow it.
    pub(super) times: usize,
    /// The columns in which the lifelines stand.
    pub(super) lines: Vec<usize>,
    /// The first column right of everything.
    pub(super) end: usize,
    /// How many lines a text may be broken into.
    limit: Option<usize>,
}

/// A part of the width: what it needs and what it would like.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    least: usize,
    wish: usize,
}

impl Part {
    fn needs(&mut self, least: usize, wish: usize) {
        self.least = self.least.max(least.min(wish));
        self.wish = self.wish.max(wish);
    }
}

impl Layout {
    /// Lays the ladder out in `room` columns; nothing if there are too few of them.
    pub(super) fn new(ladder: &Ladder, room: usize, limit: Option<usize>) -> Option<Self> {
        let lanes = ladder.lanes.len();
        let last = ladder
            .rows
            .last()
            .map_or(0, |row| super::words::milliseconds(row.at));
        let times = last.to_string().len().max(4);
        let gutter = times + 2;
        if lanes == 0 {
            return Some(Self {
                times,
                lines: Vec::new(),
                end: room,
                limit,
            });
        }
        let left = text_at_left(0, lanes);
        // A blank stands on each side of a lifeline that has text there.
        let room = room.checked_sub(gutter + lanes + 1 + usize::from(left))?;
        let parts = (0..4).map(|shortness| parts(ladder, left, shortness));
        let parts =
            { parts }.find(|parts| parts.iter().map(|part| part.least).sum::<usize>() <= room)?;
        let widths = share(&parts, room);
        let mut lines = vec![gutter + if left { widths[0] + 1 } else { 0 }];
        for gap in &widths[1..lanes] {
            lines.push(lines[lines.len() - 1] + 1 + gap);
        }
        let end = lines[lanes - 1] + 2 + widths[lanes];
        Some(Self {
            times,
            lines,
            end,
            limit,
        })
    }

    /// First column of the first lane's text, or of its lifeline.
    pub(super) fn start(&self) -> usize {
        self.times + 2
    }

    /// The columns that belong to a lane's text, as its beginning and its width.
    pub(super) fn area(&self, lane: usize) -> (usize, usize) {
        if text_at_left(lane, self.lines.len()) {
            return (
                self.start(),
                self.lines[lane].saturating_sub(self.start() + 1),
            );
        }
        let x = self.lines[lane] + 2;
        let end = self.lines.get(lane + 1).map_or(self.end, |next| next - 1);
        (x, end.saturating_sub(x))
    }

    /// The texts of a row.
    pub(super) fn place(&self, row: &Row) -> Vec<Placed> {
        let mut placed = Vec::new();
        for (lane, cell) in row
            .cells
            .iter()
            .enumerate()
            .filter(|(_, cell)| !cell.is_empty())
        {
            let (x, mut room) = self.area(lane);
            let too_wide = cell.iter().any(|piece| width(&piece.text) > room);
            let alone = row.cells.iter().filter(|cell| !cell.is_empty()).count() == 1;
            if lane > 2 && lane + 1 == self.lines.len() && room < 16 && too_wide && alone {
                // The last of many lanes has no room at its right, but much at its left, below the arrow.
                let below = usize::from(!matches!(row.between, Between::Nothing));
                let end = self.lines[lane] - 1;
                let lines = cell.iter().flat_map(|piece| {
                    let lines = wrap(&piece.text, end - self.start(), self.limit);
                    lines.into_iter().map(|text| (piece.tone, text))
                });
                placed.extend(lines.enumerate().map(|(line, (tone, text))| Placed {
                    line: line + below,
                    x: end - width(&text),
                    tone,
                    text,
                }));
                continue;
            }
            if too_wide && !text_at_left(lane, self.lines.len()) {
                // It may run on over the lanes at its right as far as nothing else stands there.
                let arrow = match &row.between {
                    Between::Arrow(arrow) => arrow.span().0,
                    _ => usize::MAX,
                };
                let taken = |&other: &usize| other == arrow || !row.cells[other].is_empty();
                let end = (lane + 1..self.lines.len()).find(taken);
                room = end.map_or(self.end, |other| self.lines[other] - 1) - x;
            }
            let mut line = 0;
            let mut used = 0;
            for (number, piece) in cell.iter().enumerate() {
                let mut text = piece.text.as_str();
                // A state stands behind what else is here; where the whole way to it has no room, its last step does.
                let state = piece.tone == Tone::State;
                let start = if number > 0 { used + 2 } else { 0 };
                if state && start + width(text) > room {
                    text = last_step(text);
                }
                if state && number > 0 && start + width(text) <= room {
                    used = start;
                } else if number > 0 {
                    (line, used) = (line + 1, 0);
                    text = if width(&piece.text) <= room {
                        &piece.text
                    } else {
                        text
                    };
                }
                for (part, text) in wrap(text, room, self.limit).into_iter().enumerate() {
                    if part > 0 {
                        (line, used) = (line + 1, 0);
                    }
                    let end = used + width(&text);
                    placed.push(Placed {
                        line,
                        x: x + used,
                        tone: piece.tone,
                        text,
                    });
                    used = end;
                }
            }
        }
        placed
    }
}

/// A connection's way from state to state; its last step alone.
fn last_step(text: &str) -> &str {
    text.rfind("→ ").map_or(text, |at| &text[at..])
}

/// What the parts need: the first lane's text (if that is at its left), the gaps between the lanes, the last lane's text.
fn parts(ladder: &Ladder, left: bool, shortness: usize) -> Vec<Part> {
    let lanes = ladder.lanes.len();
    let mut parts = vec![Part::default(); lanes + 1];
    let part_of = |lane: usize| if left && lane == 0 { 0 } else { lane + 1 };
    let least_text = [16, 14, 12, 6][shortness];
    // With many lanes a text may run on over the next ones, all but the last lane's.
    let most_text = if lanes > 3 { 16 } else { usize::MAX };
    for (number, lane) in ladder.lanes.iter().enumerate() {
        let lane = &lane.tenants[0];
        let word = lane.name.split(' ').map(width).max().unwrap_or(0);
        let least = [word + 3, word + 3, word, 6][shortness].min(16);
        parts[part_of(number)].needs(least, width(&lane.name).max(width(&lane.place)));
    }
    for part in &mut parts[1..lanes] {
        part.needs(6, 8);
    }
    if left {
        // Here no text stands between the lanes: the boxes with their names need the room by themselves.
        let name = |lane: &Lane| width(&lane.tenants[0].name) + 3;
        let longest = ladder.lanes[..2].iter().map(name).max().unwrap_or(0);
        parts[1].needs(6, longest);
    }
    for row in &ladder.rows {
        for (lane, cell) in row.cells.iter().enumerate() {
            for piece in cell {
                let most = if lane + 1 < lanes {
                    most_text
                } else {
                    usize::MAX
                };
                let least = if most_text < usize::MAX && lane + 1 < lanes {
                    6
                } else {
                    least_text
                };
                parts[part_of(lane)].needs(least, (width(&piece.text) + 1).min(most));
            }
        }
        match &row.between {
            Between::Arrow(arrow) => {
                let (from, to) = arrow.span();
                let gaps = to - from;
                let least = width(&arrow.labels[shortness.min(2)]) + 4;
                let wish = width(&arrow.labels[0]) + 8;
                for part in &mut parts[from + 1..=to] {
                    part.needs(least.div_ceil(gaps), wish.div_ceil(gaps));
                }
            }
            Between::More((from, to), words) if to - from == 1 => {
                let both = width(&words[0]) + width(&words[1]) + 4;
                parts[*to].needs(8, both);
            }
            _ => {}
        }
    }
    parts
}

/// Shares the room out: everybody gets what is needed, then all grow together until they have what they wish; what is left then
/// makes the arrows longer, up to a point.
fn share(parts: &[Part], room: usize) -> Vec<usize> {
    let mut widths: Vec<usize> = parts.iter().map(|part| part.least).collect();
    let mut left = room - widths.iter().sum::<usize>();
    let gaps = 1..parts.len() - 1;
    let longer = 12 / gaps.len().max(1);
    let wishes = [0, longer].map(|extra| {
        let wish = |(number, part): (usize, &Part)| {
            part.wish + if gaps.contains(&number) { extra } else { 0 }
        };
        parts.iter().enumerate().map(wish).collect::<Vec<_>>()
    });
    for wishes in wishes {
        while left > 0 && widths.iter().zip(&wishes).any(|(width, wish)| width < wish) {
            for (width, wish) in widths.iter_mut().zip(&wishes) {
                if *width < *wish && left > 0 {
                    *width += 1;
                    left -= 1;
                }
            }
        }
    }
    widths
}
