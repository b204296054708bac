//! Lesson 26.

fn main() {}
