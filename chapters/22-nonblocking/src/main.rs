//! Lesson 22.

fn main() {}
