//! Lesson 28.

fn main() {}
