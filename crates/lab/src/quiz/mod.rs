//! Quizzes: what will happen? The learner answers, the experiment runs, and the run says who was right.
//!
//! No answer is written down here. Each option of a question says how a run shows that it is the one that happened, and a
//! number is counted in the run: another kernel may have other right answers.
//!
//! | module | what it has |
//! |---|---|
//! | [`seen`] | questions to the record of a run |
//! | [`ask`] | the terminal: questions, answers, results |
//! | [`page`] | where the book shows an experiment |
//! | `chapNN` | the quizzes, a file for each chapter |

use std::io::{self, BufRead, Write};

use crate::experiment::Experiment;
use crate::experiments;
use crate::ladder::words::{counted, entry};
use crate::record::{Claim, Verdict};
use crate::run::{Bench, Report, Run, Status};

pub mod ask;
mod chap02;
mod chap03;
mod chap04;
mod chap05;
mod chap06;
mod chap07;
mod chap08;
mod chap10;
mod chap11;
mod chap12;
mod chap13;
mod chap14;
mod chap15;
mod chap16;
mod chap17;
mod chap18;
mod chap19;
mod chap20;
mod chap21;
mod chap22;
mod chap23;
mod chap24;
mod chap25;
mod chap26;
mod chap27;
mod chap28;
mod chap29;
mod chap30;
mod chap31;
mod chap32;
mod chap33;
mod chap34;
mod chap35;
mod chap36;
mod chap37;
mod chap38;
mod chap39;
mod midterm;
pub mod page;
pub mod seen;

use ask::Terminal;
use seen::Seen;

/// What a file of quizzes needs.
mod prelude {
    pub(super) use super::Answers::{Number, OneOf};
    pub(super) use super::{Question, Quiz};
    pub(super) use crate::packet::{ACK, FIN, RST, SYN};
}

const CHAPTERS: &[&[Quiz]] = &[
    chap02::QUIZZES,
    chap03::QUIZZES,
    chap04::QUIZZES,
    chap05::QUIZZES,
    chap06::QUIZZES,
    chap07::QUIZZES,
    chap08::QUIZZES,
    chap10::QUIZZES,
    chap11::QUIZZES,
    chap12::QUIZZES,
    chap13::QUIZZES,
    chap14::QUIZZES,
    chap15::QUIZZES,
    chap16::QUIZZES,
    chap17::QUIZZES,
    chap18::QUIZZES,
    chap19::QUIZZES,
    midterm::QUIZZES,
    chap20::QUIZZES,
    chap21::QUIZZES,
    chap22::QUIZZES,
    chap23::QUIZZES,
    chap24::QUIZZES,
    chap25::QUIZZES,
    chap26::QUIZZES,
    chap27::QUIZZES,
    chap28::QUIZZES,
    chap29::QUIZZES,
    chap30::QUIZZES,
    chap31::QUIZZES,
    chap32::QUIZZES,
    chap33::QUIZZES,
    chap34::QUIZZES,
    chap35::QUIZZES,
    chap36::QUIZZES,
    chap37::QUIZZES,
    chap38::QUIZZES,
    chap39::QUIZZES,
];

/// Every quiz, in the order of the chapters.
pub fn all() -> impl Iterator<Item = &'static Quiz> {
    CHAPTERS.iter().copied().flatten()
}

/// The quizzes as a list for the terminal: where each one belongs, and not what its experiment shows.
pub fn list(width: usize) -> String {
    let mut text = String::new();
    for quiz in all() {
        let title = page::of(quiz.experiment).map_or(String::new(), |place| place.title);
        let count = counted(quiz.questions.len(), "question");
        text += &entry(
            &format!("{:<28} {count:<11}  ", quiz.experiment),
            &title,
            width,
        );
    }
    text
}

/// Holds quizzes, one after the other: questions, the run, what came of it. True when every run came to its end.
pub fn hold<R: BufRead, W: Write>(
    terminal: &mut Terminal<R, W>,
    bench: &Bench,
    quizzes: &[&Quiz],
) -> io::Result<bool> {
    let mut scores = Vec::new();
    let mut all_ran = true;
    for (at, quiz) in quizzes.iter().enumerate() {
        let Some(experiment) = quiz.experiment() else {
            continue;
        };
        if at > 0 {
            terminal.rules_off()?;
        }
        if let Some(report) = bench.refuses(&experiment) {
            terminal.refuses(quiz, &report)?;
            continue;
        }
        let Some(answers) = terminal.asks(quiz)? else {
            terminal.parts(quiz)?;
            break;
        };
        terminal.announces(quiz)?;
        let report = bench.report(&experiment, false);
        all_ran &= !matches!(report.status, Status::Fail(_));
        scores.push(terminal.tells(quiz, &answers, &report)?);
    }
    if scores.len() > 1 {
        terminal.sums_up(&scores)?;
    }
    Ok(all_ran)
}

/// Questions about one experiment.
#[derive(Debug)]
pub struct Quiz {
    /// The experiment's id.
    pub experiment: &'static str,
    /// What is done, so that one can ask what comes of it.
    pub scene: &'static str,
    /// The questions, in the order of the story.
    pub questions: &'static [Question],
}

/// One question.
#[derive(Debug)]
pub struct Question {
    /// What will happen?
    pub ask: &'static str,
    /// What can be answered, and how the run decides.
    pub answers: Answers,
    /// The sentence of the experiment's claim that the answer rests on.
    pub claim: &'static str,
    /// The reason, in a sentence or two; shown afterwards.
    pub why: &'static str,
}

/// An option: what it says, and how a run shows that it is what happened.
pub type Choice = (&'static str, fn(&Seen) -> bool);

/// What can be answered.
#[derive(Debug)]
pub enum Answers {
    /// One of these. Each has a condition on the run, and just one of the conditions is true.
    OneOf(&'static [Choice]),
    /// A number, which is counted in the run. `None`: it cannot be.
    Number(fn(&Seen) -> Option<usize>),
}

/// An answer: the learner's, or the run's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The place of an option.
    Option(usize),
    /// A number.
    Number(usize),
}

impl Quiz {
    /// The experiment, if there is one of this id.
    pub fn experiment(&self) -> Option<Experiment> {
        experiments::all().find(|experiment| experiment.id == self.experiment)
    }

    /// Whether a word on the command line means this one, as for experiments.
    pub fn is_meant_by(&self, word: &str) -> bool {
        self.experiment()
            .is_some_and(|experiment| experiment.is_meant_by(word))
    }

    /// What is wrong with the quiz of this experiment, if there is one and its run shows something wrong.
    pub fn check(report: &Report) -> Result<(), String> {
        let quiz = all().find(|quiz| quiz.experiment == report.experiment.id);
        match (quiz, &report.run, &report.status) {
            (Some(quiz), Some(run), Status::Pass) => quiz.check_runs(run, report.control.as_ref()),
            _ => Ok(()),
        }
    }

    /// Every question is decided by the run, and at least one of them in another way by the control: an answer that no change
    /// of the story changes would be an answer that is written down.
    fn check_runs(&self, run: &Run, control: Option<&Run>) -> Result<(), String> {
        let of_run = Seen::new(&run.record);
        let of_control = control.map(|control| Seen::new(&control.record));
        let mut differs = of_control.is_none();
        for question in self.questions {
            let about = |why| format!("the quiz of {}: {:?}: {why}", self.experiment, question.ask);
            let unseen = |claim: &Claim| claim.verdict == Verdict::Unseen;
            if of_run.claim(question.claim).is_some_and(unseen) {
                differs = true;
                continue;
            }
            let decided = question.decided(&of_run).map_err(about)?;
            if let Some(control) = &of_control {
                differs |= question.decided(control) != Ok(decided);
            }
        }
        if let Some(name) = of_run.unknown().first() {
            return Err(format!(
                "the quiz of {}: the run has no {name}",
                self.experiment
            ));
        }
        match differs {
            true => Ok(()),
            false => Err(format!(
                "the quiz of {}: its control decides every question in the same way",
                self.experiment
            )),
        }
    }
}

impl Question {
    /// What happened, by this run; or why it does not say.
    pub fn decided(&self, seen: &Seen) -> Result<Answer, String> {
        let claim = seen.claim(self.claim);
        let claim = claim.ok_or_else(|| format!("the run has no claim {:?}", self.claim))?;
        if claim.verdict == Verdict::Unseen {
            return Err(format!("it cannot be seen here: {}", claim.seen));
        }
        match self.answers {
            Answers::Number(count) => count(seen)
                .map(Answer::Number)
                .ok_or_else(|| "the run has no such number".into()),
            Answers::OneOf(options) => {
                let mut fit = (0..options.len()).filter(|&at| (options[at].1)(seen));
                match (fit.next(), fit.next()) {
                    (Some(one), None) => Ok(Answer::Option(one)),
                    (None, _) => Err("none of the options is what happened".into()),
                    (Some(one), Some(other)) => Err(format!(
                        "both {} and {} happened",
                        ask::letter(one),
                        ask::letter(other)
                    )),
                }
            }
        }
    }

    /// An answer in words.
    pub fn in_words(&self, answer: Answer) -> String {
        match (answer, &self.answers) {
            (Answer::Option(at), Answers::OneOf(options)) => {
                format!("{}  {}", ask::letter(at), options[at].0)
            }
            (Answer::Option(at), Answers::Number(_)) => ask::letter(at).into(),
            (Answer::Number(number), _) => number.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quiz_has_its_experiment_and_questions_with_answers() {
        let mut ids = std::collections::BTreeSet::new();
        for quiz in all() {
            let id = quiz.experiment;
            assert!(quiz.experiment().is_some(), "there is no experiment {id}");
            assert!(ids.insert(id), "two quizzes for {id}");
            assert!(!quiz.questions.is_empty(), "{id} asks nothing");
            for question in quiz.questions {
                if let Answers::OneOf(options) = question.answers {
                    assert!((2..=6).contains(&options.len()), "{id}: {}", question.ask);
                }
            }
        }
    }
}
