//! The terminal's side of a quiz: asks, reads answers, and says what came of them.

use std::io::{self, BufRead, Read, Write};

use super::page::{self, Place};
use super::seen::Seen;
use super::{Answer, Answers, Question, Quiz};
use crate::doctor;
use crate::ladder::TextOptions;
use crate::ladder::words::{clean, mark, wrap};
use crate::report;
use crate::run::{Report, Run, Status};

/// A line wider than this is hard to read, however wide the terminal is.
const WIDEST: usize = 88;
/// An answer is one word: of a longer line the rest is another line.
const LONGEST: u64 = 1024;
/// After so many lines in a row that are no answer nobody is there who reads what is asked.
const PATIENCE: usize = 10;
/// What was seen is shown in so many lines at most; the ladder has it all.
const SEEN_LINES: usize = 3;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

/// A terminal, or what stands in for one: a pipe, a file.
pub struct Terminal<R, W> {
    input: R,
    out: W,
    options: TextOptions,
    /// What is typed is not shown by a terminal: it comes from a file or a pipe.
    echoes: bool,
}

/// How many answers were right, of how many that the run could decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Score {
    /// Right ones.
    pub right: usize,
    /// Decided ones.
    pub of: usize,
}

/// `a` for the first.
pub fn letter(at: usize) -> &'static str {
    ["a", "b", "c", "d", "e", "f"].get(at).unwrap_or(&"?")
}

impl<R: BufRead, W: Write> Terminal<R, W> {
    /// A terminal to ask on. `shows_typing`: what is typed can be seen without our doing.
    pub fn new(input: R, out: W, options: TextOptions, shows_typing: bool) -> Self {
        Self {
            input,
            out,
            options,
            echoes: !shows_typing,
        }
    }

    /// Asks all questions of a quiz. `None`: the input has ended before the last answer.
    pub fn asks(&mut self, quiz: &Quiz) -> io::Result<Option<Vec<Answer>>> {
        // Not the experiment's own sentence: it says what happens.
        let title = page::of(quiz.experiment).map_or(String::new(), |place| place.title);
        self.paragraph("", BOLD, &format!("{} · {title}", quiz.experiment))?;
        writeln!(self.out)?;
        self.paragraph("  ", "", quiz.scene)?;
        let how = "Answer with a letter or a number. Ctrl-D ends the quiz.";
        self.paragraph("  ", DIM, how)?;
        let mut answers = Vec::new();
        for (question, number) in quiz.questions.iter().zip(1..) {
            writeln!(self.out)?;
            let count = quiz.questions.len();
            let text = format!("{number} of {count}  {}", question.ask);
            self.lines(("", "        "), BOLD, &text, None)?;
            match self.answer(question)? {
                Some(answer) => answers.push(answer),
                None => return Ok(None),
            }
        }
        Ok(Some(answers))
    }

    /// Asks until there is an answer, or nobody who answers.
    fn answer(&mut self, question: &Question) -> io::Result<Option<Answer>> {
        if let Answers::OneOf(options) = question.answers {
            for (at, (text, _)) in options.iter().enumerate() {
                let text = format!("{}  {text}", letter(at));
                self.lines(("   ", "      "), "", &text, None)?;
            }
        }
        let wanted = wanted(question);
        for _ in 0..PATIENCE {
            write!(self.out, "❯ ")?;
            self.out.flush()?;
            let Some(line) = self.line()? else {
                writeln!(self.out)?;
                return Ok(None);
            };
            if self.echoes {
                writeln!(self.out, "{}", clean(&line))?;
            }
            match read(question, &line) {
                Some(answer) => return Ok(Some(answer)),
                None => writeln!(self.out, "  Please type {wanted}.")?,
            }
        }
        Ok(None)
    }

    /// The next line; `None` at the end of the input.
    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        let count = (&mut self.input)
            .take(LONGEST)
            .read_until(b'\n', &mut line)?;
        Ok((count > 0).then(|| String::from_utf8_lossy(&line).into_owned()))
    }

    /// Says that something comes which may take a moment.
    pub fn announces(&mut self, quiz: &Quiz) -> io::Result<()> {
        let text = format!("Now it happens: {} runs on this kernel.", quiz.experiment);
        writeln!(self.out)?;
        self.paragraph("", DIM, &text)?;
        self.out.flush()
    }

    /// Says who was right, and shows what happened.
    pub fn tells(&mut self, quiz: &Quiz, answers: &[Answer], report: &Report) -> io::Result<Score> {
        let mut score = Score::default();
        writeln!(self.out)?;
        if let (Some(run), true) = (&report.run, came_to_its_end(&report.status)) {
            for ((question, answer), number) in quiz.questions.iter().zip(answers).zip(1..) {
                let right = self.judges(number, question, *answer, run)?;
                score.of += usize::from(right.is_some());
                score.right += usize::from(right == Some(true));
                writeln!(self.out)?;
            }
        }
        write!(self.out, "{}", report::full(report, &self.options))?;
        writeln!(self.out)?;
        if score.of > 0 {
            let colour = if score.right == score.of {
                GREEN
            } else {
                YELLOW
            };
            let text = format!("{} of {} right.", score.right, score.of);
            self.paragraph("", colour, &text)?;
        }
        if let Some(place) = page::of(quiz.experiment) {
            self.paragraph("", "", &read_on(&place))?;
        }
        self.out.flush()?;
        Ok(score)
    }

    /// One answer, and what the run says to it. `None`: it says nothing.
    fn judges(
        &mut self,
        number: usize,
        question: &Question,
        answer: Answer,
        run: &Run,
    ) -> io::Result<Option<bool>> {
        let seen = Seen::new(&run.record);
        let decided = question.decided(&seen);
        let right = decided.as_ref().ok().map(|decided| *decided == answer);
        let (sign, colour) = match right {
            Some(true) => ("✓", GREEN),
            Some(false) => ("✗", RED),
            None => ("–", YELLOW),
        };
        let text = format!("{sign} {number}  {}", question.ask);
        self.lines(("", "     "), colour, &text, None)?;
        let yours = question.in_words(answer);
        match &decided {
            Ok(_) if right == Some(true) => {
                self.paragraph("     ", "", &format!("your answer is right: {yours}"))?
            }
            Ok(decided) => {
                self.paragraph("     ", "", &format!("your answer: {yours}"))?;
                let what = question.in_words(*decided);
                self.paragraph("     ", BOLD, &format!("what happened: {what}"))?;
            }
            Err(why) => {
                self.paragraph("     ", "", &format!("your answer: {yours}"))?;
                self.paragraph("     ", "", &format!("this run does not decide it: {why}"))?;
            }
        }
        self.paragraph("     ", "", question.why)?;
        if let (Some(claim), Ok(_)) = (seen.claim(question.claim), &decided) {
            let text = format!("{} {}", mark(claim.verdict), claim.sentence);
            self.paragraph("     ", DIM, &text)?;
            let seen = format!("seen: {}", claim.seen);
            self.lines(("       ", "       "), DIM, &seen, Some(SEEN_LINES))?;
        }
        Ok(right)
    }

    /// Says why this machine cannot show it, and what would help.
    pub fn refuses(&mut self, quiz: &Quiz, report: &Report) -> io::Result<()> {
        if let Status::Skip(why) = &report.status {
            let text = format!("– {} cannot run here: it {why}", quiz.experiment);
            self.paragraph("", YELLOW, &text)?;
        }
        for remedy in doctor::remedies() {
            self.paragraph("  ", "", &remedy)?;
        }
        self.out.flush()
    }

    /// Says that there are no more answers to come.
    pub fn parts(&mut self, quiz: &Quiz) -> io::Result<()> {
        let text = format!(
            "No more answers: the quiz ends here. To see what happens: scripts/experiment {}",
            quiz.experiment
        );
        self.paragraph("", "", &text)?;
        self.out.flush()
    }

    /// A line between two quizzes.
    pub fn rules_off(&mut self) -> io::Result<()> {
        let line = "─".repeat(self.room());
        writeln!(self.out)?;
        self.paragraph("", DIM, &line)?;
        writeln!(self.out)
    }

    /// The score of several quizzes.
    pub fn sums_up(&mut self, scores: &[Score]) -> io::Result<()> {
        let right: usize = scores.iter().map(|score| score.right).sum();
        let of: usize = scores.iter().map(|score| score.of).sum();
        let text = format!("{right} of {of} right in {} quizzes.", scores.len());
        writeln!(self.out)?;
        self.paragraph("", BOLD, &text)?;
        self.out.flush()
    }

    fn room(&self) -> usize {
        self.options.width.clamp(20, WIDEST)
    }

    fn paragraph(&mut self, indent: &str, colour: &str, text: &str) -> io::Result<()> {
        self.lines((indent, indent), colour, text, None)
    }

    /// Writes a text in lines, the first with one indent and the others with another.
    fn lines(
        &mut self,
        (first, others): (&str, &str),
        colour: &str,
        text: &str,
        limit: Option<usize>,
    ) -> io::Result<()> {
        let room = self.room().saturating_sub(first.len().max(others.len()));
        for (line, at) in wrap(&clean(text), room, limit).iter().zip(0..) {
            // The wrapping has an indent of its own.
            let (indent, line) = match at {
                0 => (first, line.as_str()),
                _ => (others, line.trim_start()),
            };
            match self.options.colour && !colour.is_empty() {
                true => writeln!(self.out, "{indent}\x1b[{colour}m{line}\x1b[0m")?,
                false => writeln!(self.out, "{indent}{line}")?,
            }
        }
        Ok(())
    }
}

fn came_to_its_end(status: &Status) -> bool {
    matches!(status, Status::Pass | Status::Discovery(_))
}

/// What is to be typed, in words.
fn wanted(question: &Question) -> String {
    match question.answers {
        Answers::OneOf(options) => {
            let last = letter(options.len() - 1);
            let others: Vec<_> = (0..options.len() - 1).map(letter).collect();
            format!("{} or {last}", others.join(", "))
        }
        Answers::Number(_) => "a number".into(),
    }
}

/// The answer in a line, if there is one.
fn read(question: &Question, line: &str) -> Option<Answer> {
    let word = line.trim().to_lowercase();
    match question.answers {
        Answers::OneOf(options) => (0..options.len())
            .find(|&at| letter(at) == word)
            .map(Answer::Option),
        // 65 536 and 65,536 are numbers, too.
        Answers::Number(_) => {
            let digits: String = word.split([' ', ',', '_']).collect();
            digits.parse().ok().map(Answer::Number)
        }
    }
}

fn read_on(place: &Place) -> String {
    format!(
        "Read on: “{}” in the book's chapter “{}” (docs/src/{}).",
        place.section, place.title, place.file
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::RST;
    use crate::record::{Claim, Column, Event, Record, Verdict, What};
    use std::time::Duration;

    const QUIZ: Quiz = Quiz {
        experiment: "11/close",
        scene: "A client and a server.",
        questions: &[
            Question {
                ask: "How many answers does the client print?",
                answers: Answers::Number(|seen| Some(seen.of("client").count("Hi"))),
                claim: "the client prints an answer",
                why: "Nobody prevents it.",
            },
            Question {
                ask: "How does the server end?",
                answers: Answers::OneOf(&[
                    ("well", |seen| seen.of("server").ended("code 0")),
                    ("badly", |seen| seen.of("server").complains("Error")),
                    ("it sends a reset", |seen| seen.of("server").sends(RST)),
                ]),
                claim: "the client prints an answer",
                why: "It sees the end of file.",
            },
        ],
    };

    fn happened() -> Record {
        let column = |name: &str| Column {
            name: name.into(),
            host: None,
            address: None,
        };
        let event = |what| Event {
            at: Duration::ZERO,
            what,
        };
        Record {
            id: "11/close".into(),
            title: "a title".into(),
            columns: vec![column("server"), column("client")],
            events: vec![
                event(What::Said(1, "Hi, data1".into())),
                event(What::Ended(0, "exited with code 0".into())),
            ],
            claims: vec![Claim {
                sentence: "the client prints an answer".into(),
                seen: "it says Hi".into(),
                central: true,
                verdict: Verdict::Holds,
            }],
            gauges: Vec::new(),
            figures: Vec::new(),
            tables: Vec::new(),
            took: Duration::from_millis(1),
            kernel: "6.18.1".into(),
        }
    }

    fn report() -> Report {
        Report {
            experiment: QUIZ.experiment().expect("it is one of the lab's"),
            run: Some(Run {
                record: happened(),
                broke_off: None,
                blind: None,
            }),
            control: None,
            status: Status::Pass,
        }
    }

    fn options() -> TextOptions {
        TextOptions {
            width: 80,
            colour: false,
            full: false,
            verbose: false,
        }
    }

    fn asked(input: &[u8]) -> (Option<Vec<Answer>>, String) {
        let mut out = Vec::new();
        let mut terminal = Terminal::new(input, &mut out, options(), false);
        let answers = terminal.asks(&QUIZ).expect("memory can be written");
        (answers, String::from_utf8(out).expect("it is text"))
    }

    #[test]
    fn answers_are_read_and_what_is_none_is_asked_for_again() {
        let (answers, shown) = asked(b"x\n 1\n\nd\nB\n");
        assert_eq!(answers, Some(vec![Answer::Number(1), Answer::Option(1)]));
        assert_eq!(shown.matches("Please type a number.").count(), 1);
        assert_eq!(shown.matches("Please type a, b or c.").count(), 2);
        assert!(shown.contains("❯ B\n"), "{shown}");
    }

    #[test]
    fn the_end_of_the_input_is_no_answer() {
        assert_eq!(asked(b"").0, None);
        assert_eq!(asked(b"1\n").0, None);
        assert_eq!(asked(b"1\nb").0.map(|answers| answers.len()), Some(2));
    }

    #[test]
    fn nobody_is_asked_for_ever() {
        let endless = b"y\n".repeat(1000);
        assert_eq!(asked(&endless).0, None);
        assert_eq!(asked(&[0; 100_000]).0, None);
    }

    #[test]
    fn the_run_says_who_was_right() {
        let tell = |answers: &[Answer]| {
            let mut out = Vec::new();
            let mut terminal = Terminal::new(&b""[..], &mut out, options(), false);
            let score = terminal.tells(&QUIZ, answers, &report());
            let score = score.expect("memory can be written");
            (score, String::from_utf8(out).expect("it is text"))
        };
        let (score, shown) = tell(&[Answer::Number(1), Answer::Option(0)]);
        assert_eq!(score, Score { right: 2, of: 2 });
        assert!(shown.contains("✓ 2  How does the server end?"), "{shown}");
        let (score, shown) = tell(&[Answer::Number(2), Answer::Option(2)]);
        assert_eq!(score, Score { right: 0, of: 2 });
        assert!(shown.contains("what happened: a  well"), "{shown}");
        assert!(
            shown.lines().all(|line| line.chars().count() <= 80),
            "{shown}"
        );
    }

    #[test]
    fn what_a_run_does_not_show_is_not_decided() {
        let mut record = happened();
        record.events.clear();
        let nothing = QUIZ.questions[1].decided(&Seen::new(&record));
        assert!(nothing.is_err_and(|why| why.contains("none of the options")));
        record.claims[0].verdict = Verdict::Unseen;
        let unseen = QUIZ.questions[0].decided(&Seen::new(&record));
        assert!(unseen.is_err_and(|why| why.contains("it says Hi")));
        let seen = Seen::new(&record);
        assert!(!seen.of("nobody").says("Hi"));
        assert_eq!(seen.unknown(), [r#"program "nobody""#]);
    }
}
