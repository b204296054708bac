//! STUB until the tracer stands.
use std::sync::Arc;
#[derive(Debug, Default)]
pub struct Calls;
#[derive(Debug, Clone)]
pub struct SystemCall { pub at: std::time::Instant, pub ended_at: Option<std::time::Instant> }
impl SystemCall { pub fn interesting(&self) -> bool { true } }
impl std::fmt::Display for SystemCall { fn fmt(&self, _: &mut std::fmt::Formatter) -> std::fmt::Result { Ok(()) } }
impl Calls { pub fn all(&self) -> Vec<SystemCall> { Vec::new() } }
pub fn keeper(_: Arc<Calls>) -> drive::Keeper { unreachable!() }
