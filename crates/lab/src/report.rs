//! Tells the user what came of a run.

use std::fmt::Write;

use crate::ladder::{self, TextOptions};
use crate::record::{Claim, Verdict};
use crate::run::{Report, Run, Status};

/// The whole story of one experiment: ladder, claims, control.
pub fn full(report: &Report, options: &TextOptions) -> String {
    let mut text = String::new();
    let experiment = &report.experiment;
    match &report.run {
        None => _ = writeln!(text, "{} · {}", experiment.id, experiment.title),
        Some(run) => {
            text += &ladder::text(&run.record, options);
            if let Some(why) = &run.broke_off {
                _ = writeln!(text, "✗ the story broke off: {why}");
            }
        }
    }
    match &report.status {
        Status::Skip(reason) => _ = writeln!(text, "– skipped: {reason}"),
        Status::Discovery(what) => {
            _ = writeln!(
                text,
                "◇ a discovery: this kernel does what the experiment does not know. {what}\n  Please report it, with \
                 the kernel's version and this output."
            );
        }
        // A claim or a broken story has said it already; what else there is to say stands nowhere.
        Status::Fail(why) if report.control.is_none() && !is_shown(report) => {
            _ = writeln!(text, "✗ {why}");
        }
        _ => {}
    }
    if let Some(control) = &report.control {
        text += &control_text(report, control, options);
    }
    text
}

/// Whether the run itself shows that it failed: a claim does, or where the story broke off.
fn is_shown(report: &Report) -> bool {
    report.run.as_ref().is_some_and(|run| {
        let fails = |claim: &Claim| claim.verdict == Verdict::Fails;
        run.broke_off.is_some() || run.record.claims.iter().any(fails)
    })
}

/// What the control did, in a few lines; with its ladder when it did not do as it must.
fn control_text(report: &Report, control: &Run, options: &TextOptions) -> String {
    let change = report.experiment.control;
    let Status::Fail(why) = &report.status else {
        return ladder::control_text(change, &control.record, options);
    };
    let ladder = ladder::text(&control.record, options);
    format!("\ncontrol: {change}\n{ladder}✗ {why}\n")
}

/// One line about an experiment among many.
pub fn line(report: &Report) -> String {
    let Report {
        experiment,
        run,
        control,
        status,
    } = report;
    let (mark, detail) = match status {
        Status::Pass => {
            let claims = run.as_ref().map_or(0, |run| run.record.claims.len());
            let seconds = run
                .as_ref()
                .map_or(0.0, |run| run.record.took.as_secs_f64());
            let control = if control.is_some() {
                ", control fails as it must"
            } else {
                ""
            };
            ("✓", format!("{claims} claims{control}, {seconds:.2} s"))
        }
        Status::Fail(why) => ("✗", why.clone()),
        Status::Skip(why) => ("–", why.clone()),
        Status::Discovery(why) => ("◇", why.clone()),
    };
    format!("{mark} {:<28} {detail}", experiment.id)
}

/// The last line of a run of many.
pub fn summary(reports: &[Report]) -> String {
    let count = |wanted: fn(&Status) -> bool| {
        reports
            .iter()
            .filter(|report| wanted(&report.status))
            .count()
    };
    let passed = count(|status| *status == Status::Pass);
    let failed = count(|status| matches!(status, Status::Fail(_)));
    let mut text = format!("{passed} passed, {failed} failed");
    for (number, word) in [
        (count(|status| matches!(status, Status::Skip(_))), "skipped"),
        (
            count(|status| matches!(status, Status::Discovery(_))),
            "discoveries",
        ),
    ] {
        if number > 0 {
            _ = write!(text, ", {number} {word}");
        }
    }
    text
}
