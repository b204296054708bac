//! Lesson 27.

fn main() {}
