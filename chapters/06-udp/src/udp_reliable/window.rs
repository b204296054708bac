//! The client's side of the sliding window: which lines are on their way, and when each is to be sent again.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Lines that are sent and not delivered, in order.
pub struct Window {
    capacity: u64,
    timeout: Duration,
    tries: u32,
    next: u64,
    lines: VecDeque<Line>,
}

struct Line {
    number: u64,
    datagram: Vec<u8>,
    tries: u32,
    /// When to send it again; `None` once it has arrived and only waits for those before it.
    due: Option<Instant>,
}

/// A datagram that is to be sent now.
pub struct Due<'a> {
    pub number: u64,
    pub attempt: u32,
    pub datagram: &'a [u8],
}

/// A line that was sent as often as is allowed.
#[derive(Debug, PartialEq, Eq)]
pub struct GiveUp(pub u64);

impl Window {
    pub fn new(capacity: u64, timeout: Duration, tries: u32) -> Self {
        let lines = VecDeque::new();
        Self {
            capacity,
            timeout,
            tries,
            next: 0,
            lines,
        }
    }

    /// The number of the next line: how many there have been so far.
    pub fn next(&self) -> u64 {
        self.next
    }

    pub fn has_room(&self) -> bool {
        (self.lines.len() as u64) < self.capacity
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds the next line, to be sent at once.
    pub fn push(&mut self, datagram: Vec<u8>, now: Instant) {
        self.lines.push_back(Line {
            number: self.next,
            datagram,
            tries: 0,
            due: Some(now),
        });
        self.next += 1;
    }

    /// When the next datagram is to be sent.
    pub fn due(&self) -> Option<Instant> {
        self.lines.iter().filter_map(|line| line.due).min()
    }

    // ANCHOR: again
    /// A datagram that is due, for the first time or again. Each time the wait for its acknowledgement doubles: where
    /// the network is overloaded, more datagrams are no help.
    pub fn take_due(&mut self, now: Instant) -> Result<Option<Due<'_>>, GiveUp> {
        let is_due = |line: &&mut Line| line.due.is_some_and(|due| due <= now);
        let Some(line) = self.lines.iter_mut().find(is_due) else {
            return Ok(None);
        };
        if line.tries == self.tries {
            return Err(GiveUp(line.number));
        }
        line.due = Some(now + self.timeout.saturating_mul(1 << line.tries));
        line.tries += 1;
        Ok(Some(Due {
            number: line.number,
            attempt: line.tries,
            datagram: &line.datagram,
        }))
    }
    // ANCHOR_END: again

    // ANCHOR: acknowledge
    /// The server has the line `number` and has delivered every line before `next`. Returns those of which this is news.
    pub fn acknowledge(&mut self, number: u64, next: u64) -> Range<u64> {
        let first = self.lines.front().map_or(self.next, |line| line.number);
        // What goes back is an old acknowledgement that was overtaken, or comes from a server that was restarted and
        // knows nothing: then nothing it says may keep a line from being sent again. What goes too far is no answer.
        if next < first || next > self.next {
            return first..first;
        }
        self.lines.retain(|line| line.number >= next);
        if let Some(line) = self.lines.iter_mut().find(|line| line.number == number)
            && number > next
        {
            line.due = None;
        }
        first..next
    }
    // ANCHOR_END: acknowledge
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window_of(lines: u8, now: Instant) -> Window {
        let mut window = Window::new(4, Duration::from_secs(1), 2);
        for line in 0..lines {
            window.push(vec![line], now);
            assert_eq!(window.take_due(now).unwrap().unwrap().datagram, [line]);
        }
        window
    }

    /// Of four lines the first is lost: it alone is sent again, and its acknowledgement covers all.
    #[test]
    fn only_the_lost_line_is_sent_again() {
        let now = Instant::now();
        let mut window = window_of(4, now);
        assert!(!window.has_room());
        for number in 1..4 {
            assert_eq!(window.acknowledge(number, 0), 0..0);
        }
        assert_eq!(window.due(), Some(now + Duration::from_secs(1)));
        let again = window.take_due(now + Duration::from_secs(1)).unwrap();
        assert_eq!(again.unwrap().number, 0);
        assert_eq!(window.due(), Some(now + Duration::from_secs(3)));
        assert_eq!(window.acknowledge(0, 4), 0..4);
        assert!(window.is_empty());
    }

    /// A server that was restarted holds what it cannot deliver. The client must not wait for it for ever.
    #[test]
    fn a_server_that_forgot_is_given_up() {
        let now = Instant::now();
        let mut window = window_of(2, now);
        assert_eq!(window.acknowledge(0, 1), 0..1);
        assert_eq!(window.acknowledge(1, 0), 1..1);
        assert_eq!(window.acknowledge(1, 9), 1..1);
        assert_eq!(window.acknowledge(1, 1), 1..1);
        let later = now + Duration::from_secs(9);
        assert_eq!(window.take_due(later).unwrap().unwrap().attempt, 2);
        let latest = later + Duration::from_secs(9);
        assert_eq!(window.take_due(latest).err(), Some(GiveUp(1)));
    }
}
