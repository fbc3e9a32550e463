//! One run at a time writes to a directory: by a lock against others on this machine, and by a file that says
//! which machine and when against those elsewhere. The file is renewed as long as the run lives.

use super::files::Files;
use super::marker::MARKER;
use super::meta::json;
use crate::error::{Doing, Error, Kind, Result};
use crate::machine;
use crate::sys;
use crate::text::duration;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// Who writes.
pub(super) const HOLDER: &str = ".buttersink-writer";
/// So often it is said that the run lives.
const RENEWED: Duration = Duration::from_secs(60);
/// After so long without a word nobody writes any more.
const STALE: SignedDuration = SignedDuration::from_mins(15);

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    /// See [`machine::id`].
    machine: String,
    /// What people call it.
    host: String,
    process: u32,
    /// When it was still so.
    at: Timestamp,
}

impl Holder {
    fn us() -> Holder {
        Holder {
            machine: machine::id().to_owned(),
            host: machine::name(),
            process: std::process::id(),
            at: Timestamp::now(),
        }
    }

    fn is_here(&self) -> bool {
        let us = Holder::us();
        (&self.machine, &self.host) == (&us.machine, &us.host)
            || !us.machine.is_empty() && self.machine == us.machine
    }

    fn age(&self) -> SignedDuration {
        Timestamp::now().duration_since(self.at)
    }
}

/// The right to write, for as long as it is held.
#[derive(Debug)]
pub(super) struct Writer {
    _lock: File,
    files: Arc<Files>,
    ended: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

/// A directory, by its device and its number there, and who writes to it.
type Known = ((u64, u64), Weak<Writer>);

/// Which directories this process writes to: several stores of a run may be in one.
static WRITERS: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// The right to write to a directory that has the marker.
///
/// # Errors
/// [`Kind::Busy`] if another run has it, here or elsewhere.
pub(super) fn take(files: &Arc<Files>, doing: &dyn Fn() -> String) -> Result<Arc<Writer>> {
    let stat = files.stat().doing(doing)?;
    let mut all = WRITERS.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|(_, writer)| writer.strong_count() > 0);
    let here = (stat.dev, stat.ino);
    let known = all.iter().find(|(at, _)| *at == here);
    if let Some(writer) = known.and_then(|(_, writer)| writer.upgrade()) {
        return Ok(writer);
    }
    let writer = Arc::new(Writer::new(files, doing)?);
    all.push((here, Arc::downgrade(&writer)));
    Ok(writer)
}

impl Writer {
    fn new(files: &Arc<Files>, doing: &dyn Fn() -> String) -> Result<Writer> {
        let lock = files.find(MARKER, libc::O_RDWR).doing(doing)?;
        let lock = lock.ok_or_else(|| Error::failed(doing(), format!("{MARKER} is gone")))?;
        let free = match sys::lock(&lock) {
            // Where there are no locks, the file has to do.
            Err(error) if has_no_locks(&error) => Ok(true),
            taken => taken,
        };
        let there = holder(files).doing(doing)?;
        if !free.doing(doing)? {
            let who = there.map_or_else(String::new, |there| format!(" ({})", who(&there)));
            let said = format!("another run writes to it{who}");
            return Err(Error::new(Kind::Busy, doing(), said));
        }
        if let Some(there) = there.filter(|there| !there.is_here()) {
            must_be_stale(&there, doing)?;
        }
        files.remove(HOLDER).doing(doing)?;
        files
            .write_new(HOLDER, &json(&Holder::us()))
            .map_err(|error| taken(doing(), error))?;
        let ended = Arc::default();
        Ok(Writer {
            _lock: lock,
            files: Arc::clone(files),
            thread: Some(renewing(Arc::clone(files), Arc::clone(&ended))),
            ended,
        })
    }
}

fn has_no_locks(error: &io::Error) -> bool {
    let none = [libc::ENOLCK, libc::ENOSYS, libc::EOPNOTSUPP, libc::EINVAL];
    error.raw_os_error().is_some_and(|n| none.contains(&n))
}

/// Somebody else made the file at the same moment.
fn taken(doing: String, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Error::new(Kind::Busy, doing, "another run begins to write to it")
        }
        _ => Error::io(doing, error),
    }
}

fn who(holder: &Holder) -> String {
    format!("process {} on {}", holder.process, holder.host)
}

/// What cannot be read says nothing.
fn holder(files: &Files) -> io::Result<Option<Holder>> {
    let text = files.bytes(HOLDER)?.unwrap_or_default();
    Ok(serde_json::from_slice(&text).ok())
}

fn must_be_stale(there: &Holder, doing: &dyn Fn() -> String) -> Result<()> {
    let (age, who) = (there.age(), who(there));
    if age > STALE {
        return Ok(());
    }
    let ago = duration(age.max(SignedDuration::ZERO));
    let said = format!("another run writes to it: {who}, as of {ago} ago");
    let minutes = STALE.as_mins();
    let way = format!(
        "wait for it; if it is dead, it counts no more after {minutes} minutes, or when you remove {HOLDER}"
    );
    Err(Error::new(Kind::Busy, doing(), said).hint(way))
}

/// Says again and again that the run lives. What cannot be written now is written the next time.
fn renewing(files: Arc<Files>, ended: Arc<(Mutex<bool>, Condvar)>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        sys::quiet_thread();
        let (over, changed) = &*ended;
        let mut over = over.lock().unwrap_or_else(PoisonError::into_inner);
        while !*over {
            let waited = changed.wait_timeout(over, RENEWED);
            let (again, time) = waited.unwrap_or_else(PoisonError::into_inner);
            over = again;
            if time.timed_out() && !*over {
                let _ = renew(&files);
            }
        }
    })
}

fn renew(files: &Files) -> io::Result<()> {
    let draft = format!("{HOLDER}.{}", std::process::id());
    files.remove(&draft)?;
    files.write_new(&draft, &json(&Holder::us()))?;
    files.replace(&draft, HOLDER)
}

impl Drop for Writer {
    fn drop(&mut self) {
        let (over, changed) = &*self.ended;
        *over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It only writes a file, and what that says goes now.
            let _ = thread.join();
        }
        let ours = |there: Holder| there.is_here() && there.process == std::process::id();
        if holder(&self.files).is_ok_and(|there| there.is_some_and(ours)) {
            // What stays is this machine's, and goes stale for the others.
            let _ = self.files.remove(HOLDER);
        }
    }
}
