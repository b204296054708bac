//! Any bytes as a request's head and as a body in chunks: see `tests/support/oracle.rs` for what must hold.
#![no_main]

#[path = "../../tests/support/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::check(bytes));
