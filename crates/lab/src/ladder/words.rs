//! Text fitted to a place: escaped, measured, wrapped; and numbers and verdicts in words.

use std::time::Duration;

use unicode_width::UnicodeWidthChar;

use crate::record::{Record, Verdict};

/// The text as one printable line: what a terminal would obey, or XML forbids, is escaped (`\t`, `\u{1b}`).
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim_end_matches(['\n', '\r']).chars() {
        let turns_the_line_around = matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let no_character = c as u32 & 0xfffe == 0xfffe;
        if c.is_control() || turns_the_line_around || no_character {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// How many columns of a terminal the character takes.
pub(super) fn char_width(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// How many columns of a terminal the text takes.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// The text in at most `room` columns, with `…` where something is left out.
pub(super) fn shorten(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.into();
    }
    let (head, _) = split(text, room.saturating_sub(1));
    format!("{}…", head.trim_end())
}

/// The text in two: the first part takes at most `room` columns.
fn split(text: &str, room: usize) -> (&str, &str) {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += char_width(c);
        if used > room {
            return text.split_at(at);
        }
    }
    (text, "")
}

/// The text in lines of at most `room` columns, broken at spaces where it can be; lines after the first are indented by two
/// where there is room. With a `limit`, the last line permitted ends in `…` if there is more.
pub(crate) fn wrap(text: &str, room: usize, limit: Option<usize>) -> Vec<String> {
    // A character two columns wide must fit, or this would never end.
    let room = room.max(4);
    let indent = if room >= 12 { "  " } else { "" };
    let mut lines: Vec<String> = Vec::new();
    let mut rest = text;
    loop {
        let start = if lines.is_empty() { "" } else { indent };
        let room = room - start.len();
        if width(rest) <= room {
            lines.push(format!("{start}{rest}"));
            return lines;
        }
        if limit.is_some_and(|limit| lines.len() + 1 >= limit) {
            lines.push(format!("{start}{}", shorten(rest, room)));
            return lines;
        }
        let (mut head, mut tail) = split(rest, room);
        if !tail.starts_with(' ')
            && let Some(space) = head.rfind(' ').filter(|&space| space * 3 > head.len())
        {
            (head, tail) = rest.split_at(space);
        }
        lines.push(format!("{start}{}", head.trim_end()));
        rest = tail.trim_start();
    }
}

/// A line of a list: what stands in front, and a text beside it that stays there when it takes several lines of a terminal.
pub fn entry(front: &str, text: &str, width: usize) -> String {
    let indent = self::width(front);
    // Where there is no room beside it, it is better to wrap anywhere than to write a column of syllables.
    let room = width.saturating_sub(indent).max(24);
    let lines: Vec<_> = wrap(text, room, None);
    let lines: Vec<_> = lines.iter().map(|line| line.trim_start()).collect();
    let next = format!("\n{:indent$}", "");
    format!("{front}{}\n", lines.join(&next))
}

/// A program's name in lines of at most `room` columns, broken behind its hyphens where that will do.
pub(super) fn wrap_name(name: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for part in name.split_inclusive(['-', ' ']) {
        let line = lines.last_mut().expect("there is a line from the first on");
        if line.is_empty() || width(line) + width(part.trim_end()) <= room {
            line.push_str(part);
        } else {
            lines.push(part.into());
        }
    }
    match lines.iter().all(|line| width(line.trim_end()) <= room) {
        true => lines.iter().map(|line| line.trim_end().into()).collect(),
        false => wrap(name, room, None),
    }
}

/// `10 240 000`.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// `1 byte`, `10 240 bytes`.
pub(crate) fn counted(number: usize, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", grouped(number))
}

/// Whole milliseconds.
pub(super) fn milliseconds(at: Duration) -> u128 {
    (at.as_micros() + 500) / 1000
}

/// The mark of a verdict.
pub(crate) fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "✓",
        Verdict::Fails => "✗",
        Verdict::Discovery => "◇",
        Verdict::Unseen => "–",
    }
}

/// `6.18` of `6.18.44-rt`.
pub(super) fn kernel(record: &Record) -> String {
    let numbers: Vec<&str> = record.kernel.split('.').take(2).collect();
    format!("Linux {}", clean(&numbers.join(".")))
}

/// `3 claims hold`; `2 of 3 claims hold, 1 fails`.
pub(super) fn verdict(record: &Record) -> String {
    let count = |verdict| {
        let of_it = |claim: &&crate::record::Claim| claim.verdict == verdict;
        record.claims.iter().filter(of_it).count()
    };
    let all = record.claims.len();
    let holds = count(Verdict::Holds);
    let mut out = match (holds, all) {
        (_, 0) => return "nothing claimed".into(),
        (1, 1) => "1 claim holds".into(),
        (holds, all) if holds == all => format!("{all} claims hold"),
        (holds, 1) => format!("{holds} of 1 claim holds"),
        (holds, all) => format!("{holds} of {all} claims hold"),
    };
    let others = [
        (Verdict::Fails, "fails", "fail"),
        (Verdict::Discovery, "is a discovery", "are discoveries"),
        (
            Verdict::Unseen,
            "cannot be seen here",
            "cannot be seen here",
        ),
    ];
    for (verdict, one, several) in others {
        match count(verdict) {
            0 => {}
            1 => out.push_str(&format!(", 1 {one}")),
            number => out.push_str(&format!(", {number} {several}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(clean("a\tb\x1b[2J\u{202e}c\r\n"), r"a\tb\u{1b}[2J\u{202e}c");
        assert_eq!(clean("数据 é"), "数据 é");
    }

    #[test]
    fn an_entry_of_a_list_stays_beside_its_name() {
        let title = "the client connects to the first address that answers";
        assert_eq!(
            entry("4/one  ", title, 40),
            "4/one  the client connects to the first\n       address that answers\n"
        );
        assert_eq!(
            entry("4/one  ", title, usize::MAX),
            format!("4/one  {title}\n")
        );
        // A terminal of ten columns wraps by itself.
        assert_eq!(
            entry("4/one  ", "a short text", 10),
            "4/one  a short text\n"
        );
    }

    #[test]
    fn wide_characters_count_double() {
        assert_eq!(width("数据"), 4);
        assert_eq!(shorten("数据数据", 8), "数据数据");
        assert_eq!(shorten("数据数据", 7), "数据数…");
        assert_eq!(shorten("数据数据", 6), "数据…");
        assert_eq!(wrap("数据数据数据", 5, None), ["数据", "数据", "数据"]);
    }

    #[test]
    fn lines_break_at_spaces_and_say_what_is_missing() {
        let error = "Error: send: Broken pipe (os error 32)";
        assert_eq!(
            wrap(error, 24, None),
            ["Error: send: Broken pipe", "  (os error 32)"]
        );
        assert_eq!(wrap(error, 14, Some(2)), ["Error: send:", "  Broken pipe…"]);
        assert_eq!(wrap("abcdefghijklm", 6, None), ["abcdef", "ghijkl", "m"]);
        assert_eq!(wrap("", 6, None), [""]);
    }

    #[test]
    fn names_break_behind_their_hyphens() {
        assert_eq!(wrap_name("tcpcli-select", 13), ["tcpcli-select"]);
        assert_eq!(wrap_name("tcpcli-select 2", 13), ["tcpcli-select", "2"]);
        assert_eq!(wrap_name("tcpcli-select 2", 10), ["tcpcli-", "select 2"]);
        assert_eq!(wrap_name("router6", 5), ["route", "r6"]);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(10_240_000), "10 240 000");
        assert_eq!(counted(1, "byte"), "1 byte");
        assert_eq!(counted(1024, "byte"), "1 024 bytes");
    }
}
