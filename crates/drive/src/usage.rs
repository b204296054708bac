//! What a running program holds and uses, as the kernel counts it: proc(5).

use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use crate::Program;

impl Program {
    /// How many threads it has.
    pub fn threads(&self) -> io::Result<usize> {
        Ok(fs::read_dir(self.proc("task"))?.count())
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> io::Result<usize> {
        Ok(fs::read_dir(self.proc("fd"))?.count())
    }

    /// The processor time that its living threads have had so far, proc_pid_schedstat(5).
    pub fn processor_time(&self) -> io::Result<Duration> {
        let mut time = 0;
        for thread in fs::read_dir(self.proc("task"))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            time += text
                .split(' ')
                .next()
                .and_then(|number| number.parse::<u64>().ok())
                .ok_or(io::ErrorKind::InvalidData)?;
        }
        Ok(Duration::from_nanos(time))
    }

    /// Looks for a while that it does nothing: a program that spins would use all of it.
    ///
    /// # Panics
    /// When it uses a tenth of the time, or has ended.
    pub fn rests(&self) {
        let used = || self.processor_time().expect("it runs");
        let (before, watched) = (used(), Duration::from_millis(300));
        thread::sleep(watched);
        let used = used() - before;
        assert!(used < watched / 10, "it was busy for {used:?}");
    }

    fn proc(&self, what: &str) -> String {
        format!("/proc/{}/{what}", self.pid())
    }
}
