//! Lesson 39.

fn main() {}
