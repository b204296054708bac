//! Lesson 35.

fn main() {}
