//! Reads the language of tcpdump(8) that chooses packets, pcap-filter(7).

use crate::expression::{Comparison, Expression, Side, WHOLE};
use crate::packet::{ICMP, ICMPV6, TCP, UDP};

/// Reads an expression; nothing means every packet. The error says what was not understood.
pub fn parse(text: &str) -> Result<Expression, String> {
    let words = words(text);
    let mut rest = Words { words: &words };
    if words.is_empty() {
        return Ok(Expression::Any);
    }
    let expression = rest.joined()?;
    match rest.words {
        [] => Ok(expression),
        [word, ..] => Err(format!(
            "what does {word:?} mean here? (and, or, not and brackets join conditions)"
        )),
    }
}

/// Splits into words, numbers and signs: `tcp[13]&2!=0` is `tcp [ 13 ] & 2 != 0`.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let joins = |last: &str, next: char| match next {
        '=' => matches!(last, "!" | "<" | ">" | "="),
        '&' | '|' => last == next.to_string(),
        // An IPv6 address has colons, tcp[13:1] has one too; the brackets tell which.
        next => word_character(next) && last.chars().all(word_character) && !last.is_empty(),
    };
    let mut spaced = true;
    let mut brackets = 0;
    for character in text.chars() {
        if character.is_whitespace() {
            spaced = true;
            continue;
        }
        brackets += i32::from(character == '[') - i32::from(character == ']');
        let split = character == ':' && brackets > 0;
        match words
            .last_mut()
            .filter(|last| !spaced && !split && last.as_str() != ":" && joins(last, character))
        {
            Some(last) => last.push(character),
            None => words.push(character.into()),
        }
        spaced = false;
    }
    words
}

fn word_character(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '.' | ':' | '_' | '-' | '%')
}

/// The words that are still to be read.
struct Words<'a> {
    words: &'a [String],
}

impl Words<'_> {
    fn next(&mut self, wanted: &str) -> Result<String, String> {
        let (first, rest) = self
            .words
            .split_first()
            .ok_or_else(|| format!("the expression ends where {wanted} should follow"))?;
        self.words = rest;
        Ok(first.clone())
    }

    fn takes(&mut self, any_of: &[&str]) -> bool {
        let found = self
            .words
            .first()
            .is_some_and(|word| any_of.contains(&word.as_str()));
        self.words = &self.words[usize::from(found)..];
        found
    }

    /// `A and B or C`. As in pcap-filter(7), both bind alike and from the left: it is `(A and B) or C`, and
    /// `A or B and C` is `(A or B) and C`.
    fn joined(&mut self) -> Result<Expression, String> {
        let mut left = self.condition()?;
        loop {
            if self.takes(&["and", "&&"]) {
                left = Expression::And(left.into(), self.condition()?.into());
            } else if self.takes(&["or", "||"]) {
                left = Expression::Or(left.into(), self.condition()?.into());
            } else {
                return Ok(left);
            }
        }
    }

    fn condition(&mut self) -> Result<Expression, String> {
        if self.takes(&["not", "!"]) {
            return Ok(Expression::Not(self.condition()?.into()));
        }
        let side = match self.next("a condition")?.as_str() {
            "(" => {
                let inner = self.joined()?;
                return if self.takes(&[")"]) {
                    Ok(inner)
                } else {
                    Err("a bracket is not closed".into())
                };
            }
            "ip" if self.is_index() => return self.bytes(WHOLE),
            "tcp" if self.is_index() => return self.bytes(TCP),
            "udp" if self.is_index() => return self.bytes(UDP),
            "icmp" if self.is_index() => return self.bytes(ICMP),
            "ip" => return self.qualified(Expression::V4),
            "ip6" => return self.qualified(Expression::V6),
            "tcp" => return self.qualified(Expression::Protocol(TCP)),
            "udp" => return self.qualified(Expression::Protocol(UDP)),
            "icmp" => return Ok(Expression::Protocol(ICMP)),
            "icmp6" => return Ok(Expression::Protocol(ICMPV6)),
            "port" => return self.port(Side::Either),
            "host" => return self.host(Side::Either),
            "src" => Side::Source,
            "dst" => Side::Destination,
            other => {
                return Err(format!(
                    "what does {other:?} mean? (tcp, udp, icmp, icmp6, ip, ip6, port, host, src, dst)"
                ));
            }
        };
        if self.takes(&["port"]) {
            return self.port(side);
        }
        self.takes(&["host"]);
        self.host(side)
    }

    fn is_index(&self) -> bool {
        self.words.first().is_some_and(|word| word == "[")
    }

    /// `tcp port 80` and `udp src port 53` are both conditions in one.
    fn qualified(&mut self, protocol: Expression) -> Result<Expression, String> {
        let more = self
            .words
            .first()
            .is_some_and(|word| ["port", "src", "dst", "host"].contains(&word.as_str()));
        match more {
            true => Ok(Expression::And(protocol.into(), self.condition()?.into())),
            false => Ok(protocol),
        }
    }

    fn port(&mut self, side: Side) -> Result<Expression, String> {
        let word = self.next("a port")?;
        let port = word.parse().map_err(|_| format!("not a port: {word}"))?;
        Ok(Expression::Port(side, port))
    }

    fn host(&mut self, side: Side) -> Result<Expression, String> {
        let word = self.next("an address")?;
        let host = word
            .parse()
            .map_err(|_| format!("not an address: {word} (names are not looked up)"))?;
        Ok(Expression::Host(side, host))
    }

    /// `[13:1] & 2 != 0`, behind the name of the header.
    fn bytes(&mut self, header: u8) -> Result<Expression, String> {
        self.takes(&["["]);
        let at = self.number()? as usize;
        let size = if self.takes(&[":"]) {
            self.number()? as usize
        } else {
            1
        };
        if !self.takes(&["]"]) || !matches!(size, 1 | 2 | 4) {
            return Err("write tcp[13] or tcp[4:4]: a place, and 1, 2 or 4 bytes".into());
        }
        let mask = if self.takes(&["&"]) {
            self.number()?
        } else {
            u32::MAX
        };
        let comparison = match self.next("a comparison")?.as_str() {
            "=" | "==" => Comparison::Equal,
            "!=" => Comparison::NotEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            other => return Err(format!("not a comparison: {other}")),
        };
        let value = self.number()?;
        Ok(Expression::Bytes {
            header,
            at,
            size,
            mask,
            comparison,
            value,
        })
    }

    fn number(&mut self) -> Result<u32, String> {
        let word = self.next("a number")?;
        let parsed = match word.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => word.parse(),
        };
        parsed.map_err(|_| format!("not a number: {word}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_said() {
        for (text, complaint) in [
            ("tpc", "what does \"tpc\" mean?"),
            ("tcp port", "the expression ends where a port should follow"),
            ("port 65536", "not a port: 65536"),
            ("src host example.org", "not an address: example.org"),
            ("tcp udp", "what does \"udp\" mean here?"),
            ("(tcp", "a bracket is not closed"),
            ("tcp[13:3] = 0", "write tcp[13] or tcp[4:4]"),
            (
                "tcp[13] & 2",
                "the expression ends where a comparison should follow",
            ),
            (
                "tcp and",
                "the expression ends where a condition should follow",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(complaint), "{text}: {error}");
        }
    }
}
