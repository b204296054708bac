//! All experiments, a file for each chapter. They are read as descriptions of themselves.

use crate::experiment::Experiment;

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

const CHAPTERS: &[&[Experiment]] = &[
    chap02::EXPERIMENTS,
    chap03::EXPERIMENTS,
    chap04::EXPERIMENTS,
    chap05::EXPERIMENTS,
    chap06::EXPERIMENTS,
    chap07::EXPERIMENTS,
    chap08::EXPERIMENTS,
    chap10::EXPERIMENTS,
    chap11::EXPERIMENTS,
    chap12::EXPERIMENTS,
    chap13::EXPERIMENTS,
    chap14::EXPERIMENTS,
    chap15::EXPERIMENTS,
    chap16::EXPERIMENTS,
    chap17::EXPERIMENTS,
    chap18::EXPERIMENTS,
    chap19::EXPERIMENTS,
    midterm::EXPERIMENTS,
    chap20::EXPERIMENTS,
    chap21::EXPERIMENTS,
    chap22::EXPERIMENTS,
    chap23::EXPERIMENTS,
    chap24::EXPERIMENTS,
    chap25::EXPERIMENTS,
    chap26::EXPERIMENTS,
    chap27::EXPERIMENTS,
    chap28::EXPERIMENTS,
    chap29::EXPERIMENTS,
    chap30::EXPERIMENTS,
    chap31::EXPERIMENTS,
    chap32::EXPERIMENTS,
    chap33::EXPERIMENTS,
    chap34::EXPERIMENTS,
    chap35::EXPERIMENTS,
    chap36::EXPERIMENTS,
    chap37::EXPERIMENTS,
    chap38::EXPERIMENTS,
    chap39::EXPERIMENTS,
];

/// Every experiment, in the order of the chapters.
pub fn all() -> impl Iterator<Item = Experiment> {
    CHAPTERS.iter().copied().flatten().copied()
}
