//! Lesson 38.

fn main() {}
