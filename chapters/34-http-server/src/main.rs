//! Lesson 34.

fn main() {}
