//! Lesson 24.

fn main() {}
