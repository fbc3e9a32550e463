//! Room on a disk between a stream and the network, so that whoever makes the stream can be done
//! before the network is. A queue of files without names: they are gone with the process that has
//! them, however it ends. Knows bytes only.

use super::cutter::Cutter;
use super::upload::Made;
use crate::error::{Doing, Error, Result};
use crate::log;
use crate::objects::Meta;
use crate::parallel;
use crate::snapshot::shown;
use crate::sys;
use crate::sys::secure_open::Unopened;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Bytes that are read and uploaded at a time.
const PIECE: usize = 1 << 20;
/// The longest file.
const LONGEST: u64 = 64 << 20;

/// Takes a stream at the speed of a disk. Dropped, it ends the upload and leaves what arrived.
pub struct Spool {
    shared: Arc<SharedSpool>,
    dir: PathBuf,
    limit: u64,
    /// Bytes of a file, so that there can be several.
    length: u64,
    /// The file that is being filled, and how far.
    file: Option<(File, u64)>,
    /// Until the first byte comes.
    cutter: Option<Cutter>,
    thread: Option<JoinHandle<Result<Vec<Made>>>>,
}

#[derive(Default)]
struct SharedSpool {
    state: Mutex<SpoolState>,
    changed: Condvar,
}

#[derive(Default)]
struct SpoolState {
    full: VecDeque<(File, u64)>,
    /// Bytes that are on the disk or may come there: of all files.
    taken: u64,
    /// No more files come.
    ended: bool,
    /// Nobody wants the rest; or the upload ended early.
    stop: bool,
}

impl Spool {
    /// Room for so many bytes.
    ///
    /// # Errors
    /// If nothing can be written there.
    pub(super) fn new(dir: &Path, limit: u64, cutter: Cutter) -> Result<Spool> {
        let mut spool = Spool {
            shared: Arc::default(),
            dir: dir.to_owned(),
            limit,
            length: (limit / 4).clamp(1, LONGEST),
            file: None,
            cutter: Some(cutter),
            thread: None,
        };
        log::line(|| format!("spooling in {}: {limit} bytes at most", shown(dir)));
        // Now, and not after the sender was started.
        spool.file = Some((spool.unnamed()?, 0));
        spool.shared.state().taken = spool.length;
        Ok(spool)
    }

    pub(super) fn describe(&mut self, meta: Meta) {
        if let Some(cutter) = &mut self.cutter {
            cutter.describe(meta);
        }
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        if let Some(cutter) = self.cutter.take() {
            let shared = Arc::clone(&self.shared);
            self.thread = Some(std::thread::spawn(move || shared.upload(cutter)));
        }
        while !bytes.is_empty() {
            let (mut file, filled) = match self.file.take() {
                Some(present) => present,
                None => (self.next()?, 0),
            };
            let room = (self.length - filled).min(bytes.len() as u64) as usize;
            let written = file.write_all(&bytes[..room]);
            written.map_err(|error| self.full(error))?;
            self.file = Some((file, filled + room as u64));
            bytes = &bytes[room..];
            if filled + room as u64 == self.length {
                self.hand_over();
            }
        }
        Ok(())
    }

    /// Waits until all of it is uploaded.
    pub(super) fn finish(mut self) -> Result<Vec<Made>> {
        self.hand_over();
        self.shared.change(|state| state.ended = true);
        match self.cutter.take() {
            Some(cutter) => cutter.finish(),
            None => self.join(),
        }
    }

    fn hand_over(&mut self) {
        if let Some(full) = self.file.take() {
            self.shared.change(|state| state.full.push_back(full));
        }
    }

    /// Another file, as soon as there is room for it.
    fn next(&mut self) -> Result<File> {
        let mut state = self.shared.state();
        while state.taken + self.length > self.limit && !state.stop {
            state = self.shared.wait(state);
        }
        let stopped = state.stop;
        state.taken += self.length;
        drop(state);
        if stopped {
            self.join()?;
            let said = "the upload ended before the stream";
            return Err(Error::failed("cannot store", said));
        }
        self.unnamed()
    }

    fn join(&mut self) -> Result<Vec<Made>> {
        match self.thread.take() {
            Some(thread) => parallel::joined("cannot store", thread)?,
            None => Err(Error::failed("cannot store", "it ended before")),
        }
    }

    /// A file that has no name, where the filesystem can make one; else one that loses it at once.
    fn unnamed(&self) -> Result<File> {
        let doing = || format!("cannot spool in {}", shown(&self.dir));
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let found = Unopened::at(&self.dir).doing(doing)?;
        let dir = found.handle();
        let unnamed = options.clone().custom_flags(libc::O_TMPFILE).open(&dir);
        match unnamed {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
            other => return other.doing(doing),
        }
        let name = format!(".buttersink-{:016x}", sys::random().doing(doing)?);
        let path = dir.join(name);
        let file = options.create_new(true).open(&path).doing(doing)?;
        std::fs::remove_file(&path).doing(doing)?;
        Ok(file)
    }

    fn full(&self, error: io::Error) -> Error {
        let doing = format!("cannot spool in {}", shown(&self.dir));
        let error = Error::io(doing, error);
        let limit = self.limit;
        error.hint(format!(
            "give it room for the {limit} bytes that may wait there, or lower spool_size_bytes"
        ))
    }
}

/// Nobody waits for the upload any more.
impl Drop for Spool {
    fn drop(&mut self) {
        self.shared.change(|state| state.stop = true);
        if let Some(thread) = self.thread.take() {
            // Its error was told before, or is the end that was asked for.
            let _ = thread.join();
        }
    }
}

impl SharedSpool {
    fn state(&self) -> MutexGuard<'_, SpoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, SpoolState>) -> MutexGuard<'a, SpoolState> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut SpoolState)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn upload(&self, cutter: Cutter) -> Result<Vec<Made>> {
        sys::quiet_thread();
        let result = parallel::caught("cannot store", || self.upload_all(cutter));
        self.change(|state| state.stop |= result.is_err());
        result
    }

    fn upload_all(&self, mut cutter: Cutter) -> Result<Vec<Made>> {
        let mut piece = vec![0; PIECE];
        while let Some((mut file, mut left)) = self.take()? {
            let doing = || "cannot read what was spooled".to_owned();
            let length = left;
            file.rewind().doing(doing)?;
            while left > 0 {
                self.check()?;
                let want = left.min(PIECE as u64) as usize;
                file.read_exact(&mut piece[..want]).doing(doing)?;
                cutter.write(&piece[..want])?;
                left -= want as u64;
            }
            drop(file);
            self.change(|state| state.taken -= length.min(state.taken));
        }
        cutter.finish()
    }

    /// The next full file; `None` at the end.
    fn take(&self) -> Result<Option<(File, u64)>> {
        let mut state = self.state();
        loop {
            if state.stop {
                return Err(stopped());
            }
            match state.full.pop_front() {
                None if state.ended => return Ok(None),
                None => state = self.wait(state),
                some => return Ok(some),
            }
        }
    }

    fn check(&self) -> Result<()> {
        match self.state().stop {
            true => Err(stopped()),
            false => Ok(()),
        }
    }
}

fn stopped() -> Error {
    Error::failed("cannot store", "the stream ended early")
}
