//! A child that must not take too long. Knows nothing of what the child does.

use super::{Priority, Running, check};
use crate::error::{Doing, Error, Result};
use crate::sys;
use crate::text::counted;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a command to its end, in a process group of its own, and ends the whole group if it takes
/// longer than `limit`. What it prints on standard output is dropped.
///
/// # Errors
/// If it cannot be started, fails (in its own words), takes too long, or a signal stops us.
pub fn run_within(mut command: Command, limit: Duration, doing: String) -> Result<()> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut running = Running::start(&mut command, Priority::Normal, doing)?;
    let start = Instant::now();
    loop {
        if running
            .child
            .try_wait()
            .doing(|| running.doing.clone())?
            .is_some()
        {
            return running.wait();
        }
        let late = start.elapsed() >= limit;
        if late || sys::interrupted() {
            sys::kill_group(running.child.id());
            // Its end is known, and why: by us.
            let _ = running.wait();
            check(&running.doing)?;
            let seconds = counted(limit.as_secs(), "second");
            let said = format!("it took longer than {seconds} and was ended");
            return Err(Error::failed(&running.doing, said));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
