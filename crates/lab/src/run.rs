//! Runs experiments and judges them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use crate::assemble;
use crate::error::LabError;
use crate::exercises::Exercise;
use crate::experiment::Experiment;
use crate::lab::Lab;
use crate::programs::Programs;
use crate::record::{Record, Verdict};
use crate::sandbox::{Sandbox, scratch};
use crate::version::Version;

/// What all runs have in common.
#[derive(Debug, Clone)]
pub struct Bench {
    /// What this machine allows.
    pub sandbox: Sandbox,
    /// The lessons' programs.
    pub programs: Programs,
    /// Every program's system calls are watched and shown.
    pub trace: bool,
}

/// How a run went.
#[derive(Debug)]
pub struct Run {
    /// What was seen.
    pub record: Record,
    /// Why the story broke off, if it did.
    pub broke_off: Option<LabError>,
    /// Why packets could not be seen that the story asked for: what fails then may fail for that alone.
    pub blind: Option<String>,
}

/// What is to be said of an experiment after its run, and that of its control if there was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Every claim holds, and the control breaks what it must.
    Pass,
    /// A claim does not hold, the story broke off, or the control broke nothing.
    Fail(String),
    /// It was not run, or could not be.
    Skip(String),
    /// The kernel does something that the experiment does not know.
    Discovery(String),
}

/// An experiment's result.
#[derive(Debug)]
pub struct Report {
    /// The experiment.
    pub experiment: Experiment,
    /// Its run; none when it was skipped.
    pub run: Option<Run>,
    /// The run of its control.
    pub control: Option<Run>,
    /// The judgement.
    pub status: Status,
}

impl Bench {
    /// Runs an experiment, and its control when asked to.
    pub fn report(&self, experiment: &Experiment, with_control: bool) -> Report {
        if let Some(refused) = self.refuses(experiment) {
            return refused;
        }
        let run = self.run(experiment, false);
        let control =
            (with_control && judge(&run) == Status::Pass).then(|| self.run(experiment, true));
        let status = match (judge(&run), &control) {
            (Status::Pass, Some(control)) => judge_control(control),
            (status, _) => status,
        };
        Report {
            experiment: *experiment,
            run: Some(run),
            control,
            status,
        }
    }

    /// Runs the story of an exercise with the learner's program: a control of which one hopes that all its claims hold.
    pub fn attempt(&self, exercise: &Exercise) -> Report {
        let experiment = &exercise.experiment;
        self.refuses(experiment).unwrap_or_else(|| {
            let run = self.once(experiment, true, true);
            Report {
                experiment: *experiment,
                status: judge(&run),
                run: Some(run),
                control: None,
            }
        })
    }

    /// The report on an experiment that cannot be run here.
    pub fn refuses(&self, experiment: &Experiment) -> Option<Report> {
        let (true, Sandbox::Loopback { .. }) = (experiment.isolated, &self.sandbox) else {
            return None;
        };
        // Why there are none was said when the lab looked for them.
        let reason = "needs network namespaces".into();
        Some(Report {
            experiment: *experiment,
            run: None,
            control: None,
            status: Status::Skip(reason),
        })
    }

    /// One run of an experiment or its control.
    pub fn run(&self, experiment: &Experiment, control: bool) -> Run {
        // Of a control nobody sees the last line of its ladder.
        self.once(experiment, control, !control)
    }

    fn once(&self, experiment: &Experiment, control: bool, settles: bool) -> Run {
        let directory = match self.prepare() {
            Ok(directory) => directory,
            Err(error) => {
                return Run {
                    record: self.empty_record(experiment),
                    broke_off: Some(error.into()),
                    blind: None,
                };
            }
        };
        let lab = Lab::new(
            experiment.id,
            self.programs.clone(),
            PathBuf::from(directory.path()),
            self.sandbox == Sandbox::Namespaces,
            control,
            self.trace,
        );
        self.tell(experiment, &lab, settles)
    }

    fn prepare(&self) -> std::io::Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix("lab-")
            .tempdir_in(scratch(&self.sandbox))
    }

    fn tell(&self, experiment: &Experiment, lab: &Lab, settles: bool) -> Run {
        let told = catch_unwind(AssertUnwindSafe(|| (experiment.story)(lab)));
        if settles {
            lab.settles();
        }
        let over = lab.now();
        let broke_off = match told {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(panic) => Some(LabError::Panicked(panic_text(&*panic))),
        };
        let shared = &lab.shared;
        let (columns, events) = assemble::story(shared, over);
        // Hosts and programs know the book and the book knows them: it is emptied so that they can go.
        let book = std::mem::take(&mut *shared.book());
        for host in &book.hosts {
            host.shut();
        }
        for process in &book.processes {
            process.inner.program.signal(drive::Signal::SIGKILL);
        }
        let record = Record {
            columns,
            events,
            claims: book.claims,
            gauges: book.gauges,
            figures: book.figures,
            tables: book.tables,
            took: over,
            ..self.empty_record(experiment)
        };
        Run {
            record,
            broke_off,
            blind: book.blind,
        }
    }

    fn empty_record(&self, experiment: &Experiment) -> Record {
        Record {
            id: experiment.id.into(),
            title: experiment.title.into(),
            columns: Vec::new(),
            events: Vec::new(),
            claims: Vec::new(),
            gauges: Vec::new(),
            figures: Vec::new(),
            tables: Vec::new(),
            took: std::time::Duration::ZERO,
            kernel: Version::running().to_string(),
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}

/// What a run by itself is worth.
pub fn judge(run: &Run) -> Status {
    unless_blind(run, judge_seen(run))
}

/// Without the packets that it asked for, a run can hold, but not fail.
fn unless_blind(run: &Run, status: Status) -> Status {
    match (status, &run.blind) {
        (Status::Fail(_) | Status::Discovery(_), Some(why)) => Status::Skip(why.clone()),
        (status, _) => status,
    }
}

fn judge_seen(run: &Run) -> Status {
    match &run.broke_off {
        Some(LabError::Impossible(why)) => return Status::Skip(why.clone()),
        Some(why) => return Status::Fail(why.to_string()),
        None => {}
    }
    let claims = &run.record.claims;
    let with = |verdict: Verdict| claims.iter().find(|claim| claim.verdict == verdict);
    if let Some(failed) = with(Verdict::Fails) {
        return Status::Fail(format!("{} ✗ {}", failed.sentence, failed.seen));
    }
    if let Some(unknown) = with(Verdict::Discovery) {
        return Status::Discovery(format!("{}: {}", unknown.sentence, unknown.seen));
    }
    if !claims.iter().any(|claim| claim.central) {
        return Status::Fail("the experiment has no central claim".into());
    }
    if !claims.iter().any(|claim| claim.verdict == Verdict::Holds) {
        return Status::Skip(claims[0].seen.clone());
    }
    Status::Pass
}

/// A control must come to its end, and every central claim must fail in it.
fn judge_control(control: &Run) -> Status {
    unless_blind(control, judge_control_seen(control))
}

fn judge_control_seen(control: &Run) -> Status {
    if let Some(why) = &control.broke_off {
        return Status::Fail(format!("the control broke off: {why}"));
    }
    let central = control.record.claims.iter().filter(|claim| claim.central);
    if central.clone().count() == 0 {
        return Status::Fail("the control states no central claim".into());
    }
    let survives = |claim: &&crate::record::Claim| claim.central && claim.verdict == Verdict::Holds;
    match control.record.claims.iter().find(survives) {
        Some(claim) => Status::Fail(format!(
            "holds in the control too: {} ({})",
            claim.sentence, claim.seen
        )),
        None => Status::Pass,
    }
}
