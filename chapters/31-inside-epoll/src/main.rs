//! Lesson 31.

fn main() {}
