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

/// The name of the file that says who writes.
pub(super) const HOLDER: &str = ".buttersink-writer";
/// How the names of files begin that are to become it.
pub(super) const DRAFTS: &str = ".buttersink-writer.";
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

    fn is_us(&self) -> bool {
        self.is_here() && self.process == std::process::id()
    }

    /// Whoever wrote what nobody understands, at the file's time.
    fn unknown(at: Timestamp) -> Holder {
        Holder {
            machine: String::new(),
            host: String::new(),
            process: 0,
            at,
        }
    }

    fn age(&self) -> SignedDuration {
        Timestamp::now().duration_since(self.at)
    }
}

/// The right to write, for as long as it is held.
#[derive(Debug)]
pub(super) struct FileWriter {
    _lock: File,
    files: Arc<Files>,
    ended: Arc<Flag>,
    thread: Option<JoinHandle<()>>,
    /// The last to go, after the lock.
    gone: Gone,
}

/// Something that comes true once, and can be waited for.
#[derive(Debug, Default)]
struct Flag(Mutex<bool>, Condvar);

impl Flag {
    fn raise(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.1.notify_all();
    }

    fn is_raised(&self) -> bool {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) {
        let raised = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // It stays true, so that nothing is lost if a thread panicked that held it.
        drop(self.1.wait_while(raised, |raised| !*raised));
    }
}

/// Raises its flag when it goes.
#[derive(Debug, Default)]
struct Gone(Arc<Flag>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.raise();
    }
}

/// A directory, by its device and its number there, who writes to it, and whether that has ended.
struct Known {
    at: (u64, u64),
    writer: Weak<FileWriter>,
    gone: Arc<Flag>,
}

/// Which directories this process writes to: several stores of a run may be in one.
static WRITERS: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// The right to write to a directory that has the marker.
///
/// # Errors
/// [`Kind::Busy`] if another run has it, here or elsewhere.
pub(super) fn take(files: &Arc<Files>, doing: &dyn Fn() -> String) -> Result<Arc<FileWriter>> {
    let stat = files.stat().doing(doing)?;
    let mut all = WRITERS.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|known| !known.gone.is_raised());
    let at = (stat.dev, stat.ino);
    for known in all.iter().filter(|known| known.at == at) {
        match known.writer.upgrade() {
            Some(writer) => return Ok(writer),
            // Another thread is about to let it go.
            None => known.gone.wait(),
        }
    }
    let new = Arc::new(FileWriter::new(files, doing)?);
    all.push(Known {
        at,
        writer: Arc::downgrade(&new),
        gone: Arc::clone(&new.gone.0),
    });
    Ok(new)
}

impl FileWriter {
    fn new(files: &Arc<Files>, doing: &dyn Fn() -> String) -> Result<FileWriter> {
        let lock = files.find(MARKER, libc::O_RDWR).doing(doing)?;
        let lock = lock.ok_or_else(|| Error::failed(doing(), format!("{MARKER} is gone")))?;
        // Where there are no locks, the file has to do, also against others on this machine.
        let free = match sys::lock(&lock) {
            Err(error) if has_no_locks(&error) => None,
            taken => Some(taken.doing(doing)?),
        };
        let there = holder(files).doing(doing)?;
        if free == Some(false) {
            let who = there.map_or_else(String::new, |there| format!(" ({})", who(&there)));
            let said = format!("another run writes to it{who}");
            return Err(Error::new(Kind::Busy, doing(), said));
        }
        if let Some(there) = there.filter(|there| free.is_none() || !there.is_here()) {
            must_be_stale(&there, doing)?;
        }
        files.remove(HOLDER).doing(doing)?;
        say(files, false).map_err(|error| taken(doing(), error))?;
        let ended = Arc::default();
        Ok(FileWriter {
            _lock: lock,
            files: Arc::clone(files),
            thread: Some(renewing(Arc::clone(files), Arc::clone(&ended))),
            ended,
            gone: Gone::default(),
        })
    }
}

impl FileWriter {
    /// Whether we still are who writes.
    ///
    /// # Errors
    /// [`Kind::Busy`] if another run has taken us for dead, as it may while a machine sleeps.
    pub(super) fn must_be_us(&self, doing: &dyn Fn() -> String) -> Result<()> {
        let said = match holder(&self.files).doing(doing)? {
            Some(there) if there.is_us() => return Ok(()),
            Some(there) => format!("another run has begun to write to it: {}", who(&there)),
            None => format!("{HOLDER} is gone: somebody took this run for dead"),
        };
        Err(Error::new(Kind::Busy, doing(), said).hint("run it again"))
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
    match holder.process {
        0 => format!("nobody understands what {HOLDER} says"),
        process => format!("process {process} on {}", holder.host),
    }
}

/// Who writes; what nobody understands is somebody's.
fn holder(files: &Files) -> io::Result<Option<Holder>> {
    let Some(file) = files.read(HOLDER)? else {
        return Ok(None);
    };
    let modified = file.metadata()?.modified()?;
    let text = files.bytes(HOLDER)?.unwrap_or_default();
    let at = Timestamp::try_from(modified).map_err(io::Error::other)?;
    Ok(Some(
        serde_json::from_slice(&text).unwrap_or_else(|_| Holder::unknown(at)),
    ))
}

/// Says that we write, all at once; in the place of what is said there, if that is to be replaced.
fn say(files: &Files, replace: bool) -> io::Result<()> {
    let draft = format!("{DRAFTS}{:016x}", sys::random()?);
    files.write_new(&draft, &json(&Holder::us()))?;
    let said = match replace {
        true => files.replace(&draft, HOLDER),
        false => files.publish(&draft, HOLDER),
    };
    if said.is_err() {
        // The error says more; the next run removes it.
        let _ = files.remove(&draft);
    }
    said
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
fn renewing(files: Arc<Files>, ended: Arc<Flag>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        sys::quiet_thread();
        let Flag(over, changed) = &*ended;
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

/// A machine that slept may have been taken for dead meanwhile: then it is another's.
fn renew(files: &Files) -> io::Result<()> {
    match holder(files)? {
        Some(there) if there.is_us() => say(files, true),
        _ => Ok(()),
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        self.ended.raise();
        if let Some(thread) = self.thread.take() {
            // It only writes a file, and what that says goes now.
            let _ = thread.join();
        }
        if holder(&self.files).is_ok_and(|there| there.is_some_and(|there| there.is_us())) {
            // What stays is this machine's, and goes stale for the others.
            let _ = self.files.remove(HOLDER);
        }
    }
}
