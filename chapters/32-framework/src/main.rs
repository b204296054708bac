//! Lesson 32.

fn main() {}
