//! Lesson 33.

fn main() {}
