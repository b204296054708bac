//! Lesson 29.

fn main() {}
