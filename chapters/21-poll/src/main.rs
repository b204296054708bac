//! Lesson 21.

fn main() {}
