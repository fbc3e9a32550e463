//! Whether there is still somebody at the other end: an empty frame against silence, and an end to waiting.
//! Knows descriptors and clocks, and of frames that one kind is empty.

mod patience;

pub(crate) use patience::Descriptors;

use super::Tag;
use crate::log::system;
use crate::pace::Pace;
use crate::sys;
use patience::{Patience, given_up};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::{Duration, Instant};

/// What a pipe takes without waiting once it takes anything.
pub(super) const PAGE: usize = 4096;
/// What is taken in ahead of who reads: heartbeats of a month.
const AHEAD: usize = 1 << 20;
/// An empty frame.
const BEAT: [u8; 5] = [Tag::Heartbeat as u8, 0, 0, 0, 0];
/// Which half of a connection this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Half {
    Client,
    Server,
}

/// What is known of the other side's life. A thread says meanwhile that we live, and takes in what comes while
/// nobody reads; it ends soon after this.
#[derive(Debug)]
pub(super) struct Alive {
    half: Half,
    stop: fn(),
    patience: Patience,
    /// Both sides say that they live.
    both: AtomicBool,
    /// It is for us to say so.
    ours: AtomicBool,
    /// It has been given up.
    over: AtomicBool,
    reads: File,
    writes: File,
    input: Mutex<Input>,
    output: Mutex<Output>,
}

/// A pipe to read from that must not fall silent.
#[derive(Debug)]
struct Input {
    ahead: VecDeque<u8>,
    heard: Instant,
    /// Who reads is at it.
    reading: bool,
    ended: bool,
}

/// What is written; locked for as long as a frame takes.
#[derive(Debug)]
pub(super) struct Output {
    wrote: Instant,
    /// What was written are whole frames.
    whole: bool,
}

impl Alive {
    /// For what is read and written from now on. A server whose client is gone asks itself to stop.
    pub(super) fn attend(ends: Descriptors, half: Half) -> Arc<Alive> {
        Alive::attend_until(ends, half, sys::stop_this_process)
    }

    fn attend_until(ends: Descriptors, half: Half, stop: fn()) -> Arc<Alive> {
        let now = Instant::now();
        let alive = Arc::new(Alive {
            half,
            stop,
            patience: ends.patience,
            both: AtomicBool::new(false),
            ours: AtomicBool::new(true),
            over: AtomicBool::new(false),
            reads: ends.input.into(),
            writes: ends.output.into(),
            input: Mutex::new(Input {
                ahead: VecDeque::new(),
                heard: now,
                reading: false,
                ended: false,
            }),
            output: Mutex::new(Output {
                wrote: now,
                whole: true,
            }),
        });
        let (attended, nap) = (Arc::downgrade(&alive), alive.nap());
        // Without a thread, the other side hears of us only when we speak.
        let thread = std::thread::Builder::new().name("alive".to_owned());
        let _ = thread.spawn(move || attend(&attended, nap));
        alive
    }

    /// How long one may sleep without being late.
    fn nap(&self) -> Duration {
        let Patience { beat, silence, .. } = self.patience;
        let nap = beat.min(silence) / 4;
        nap.clamp(Duration::from_millis(1), Duration::from_secs(1))
    }

    /// From now on both sides say that they live.
    pub(super) fn begin(&self) {
        input(self).heard = Instant::now();
        self.both.store(true, Relaxed);
    }

    /// Whether we have something to do, so that it is for us to say that we live.
    pub(super) fn busy(&self, ours: bool) {
        self.ours.store(ours, Relaxed);
    }

    /// What came while nobody read.
    pub(super) fn take(&self, buf: &mut [u8]) -> usize {
        let mut input = input(self);
        input.reading = true;
        let count = buf.len().min(input.ahead.len());
        for (to, from) in buf.iter_mut().zip(input.ahead.drain(..count)) {
            *to = from;
        }
        count
    }

    /// Waits for something to read; `waited` so long already for anything but heartbeats.
    pub(super) fn wait(&self, waited: &mut Duration) -> io::Result<()> {
        let since = Instant::now();
        loop {
            let now = Instant::now();
            let came = sys::can_read(self.reads.as_fd(), self.nap());
            *waited += now.elapsed();
            if self.half == Half::Server && *waited > self.patience.idle {
                return Err(given_up("no request came", self.patience.idle));
            }
            if came? {
                return Ok(());
            }
            self.must_live(since)?;
        }
    }

    /// How fast a frame is to come that begins now.
    pub(super) fn pace(&self) -> Pace {
        Pace::new(self.patience.term)
    }

    /// The end of waiting for the rest of a frame.
    pub(super) fn drips(&self) -> io::Error {
        given_up("hardly anything came", self.patience.term)
    }

    /// Who read is done, and whether something came.
    pub(super) fn heard(&self, came: bool) {
        let mut input = input(self);
        input.reading = false;
        if came {
            input.heard = Instant::now();
        }
    }

    /// Whether the other side hung up between two turns, or said that it does.
    pub(super) fn has_hung_up(&self) -> bool {
        let mut input = input(self);
        input.drain(&self.reads);
        while input.ahead.len() >= BEAT.len() && input.ahead.iter().take(5).eq(&BEAT) {
            input.ahead.drain(..BEAT.len());
        }
        let next = input.ahead.front();
        next.map_or(input.ended, |&tag| tag == Tag::Fail as u8)
    }

    /// A frame begins, and nobody else writes until it has ended.
    pub(super) fn frame(&self) -> io::Result<MutexGuard<'_, Output>> {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        match self.over.load(Relaxed) || !output.whole {
            true => Err(io::ErrorKind::BrokenPipe.into()),
            false => {
                output.whole = false;
                Ok(output)
            }
        }
    }

    /// Waits for room for a page, having written the last one just now.
    pub(super) fn room(&self) -> io::Result<()> {
        let since = Instant::now();
        while !sys::can_write(self.writes.as_fd(), self.nap())? {
            input(self).drain(&self.reads);
            self.must_live(since)?;
            if self.half == Half::Server && since.elapsed() > self.patience.idle {
                self.over.store(true, Relaxed);
                return Err(given_up("nothing was taken", self.patience.idle));
            }
        }
        Ok(())
    }

    fn must_live(&self, since: Instant) -> io::Result<()> {
        if sys::interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let heard = input(self).heard.max(since);
        if self.both.load(Relaxed) && heard.elapsed() > self.patience.silence {
            self.over.store(true, Relaxed);
            return Err(given_up("nothing was heard", self.patience.silence));
        }
        Ok(())
    }

    /// Says that we live, if nothing else was said for long, and if that can be said at once.
    fn beat(&self) -> io::Result<()> {
        let mut output = match self.output.try_lock() {
            Ok(output) => output,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        let due = self.both.load(Relaxed) && self.ours.load(Relaxed);
        let due = due && output.whole && output.wrote.elapsed() >= self.patience.beat;
        if due && sys::can_write(self.writes.as_fd(), Duration::ZERO)? {
            output.whole = false;
            (&self.writes).write_all(&BEAT)?;
            output.done();
        }
        Ok(())
    }

    /// While nobody reads: takes in what comes. A server stops what it does for a client that is gone.
    fn listen(&self) -> io::Result<()> {
        let mut input = input(self);
        if input.reading {
            return Ok(());
        }
        input.drain(&self.reads);
        if self.half == Half::Client || self.over.load(Relaxed) {
            return Ok(());
        }
        let silent = self.both.load(Relaxed) && input.heard.elapsed() > self.patience.silence;
        let left = input.ended && sys::is_unread(self.writes.as_fd())?;
        if silent || left {
            self.over.store(true, Relaxed);
            let why = if left { "hung up" } else { "is silent" };
            system::line(|| format!("the client {why}: what it asked for is stopped"));
            (self.stop)();
        }
        Ok(())
    }
}

impl Input {
    /// Takes in what is there, without waiting. Where much is there already nothing more can be heard.
    fn drain(&mut self, mut reads: &File) {
        let mut buffer = [0; PAGE];
        while !self.ended {
            if self.ahead.len() >= AHEAD {
                self.heard = Instant::now();
                return;
            }
            match sys::can_read(reads.as_fd(), Duration::ZERO) {
                Ok(true) => {}
                // What is wrong with it is told to who reads.
                Ok(false) | Err(_) => return,
            }
            match reads.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(n) => {
                    self.ahead.extend(&buffer[..n]);
                    self.heard = Instant::now();
                }
                Err(_) => return,
            }
        }
    }
}

impl Output {
    /// The frame is written.
    pub(super) fn done(&mut self) {
        (self.whole, self.wrote) = (true, Instant::now());
    }
}

fn input(alive: &Alive) -> MutexGuard<'_, Input> {
    alive.input.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Until nobody is there who reads and writes.
fn attend(alive: &Weak<Alive>, nap: Duration) {
    sys::quiet_thread();
    while let Some(alive) = alive.upgrade() {
        // What cannot be written or read is told to who writes or reads.
        let _ = alive.beat();
        let _ = alive.listen();
        drop(alive);
        std::thread::sleep(nap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;
    use std::sync::atomic::AtomicUsize;

    fn ends(input: OwnedFd, output: OwnedFd, [beat, silence]: [u64; 2]) -> Descriptors {
        let patience = Patience {
            beat: Duration::from_millis(beat),
            silence: Duration::from_millis(silence),
            idle: Duration::MAX,
            term: Duration::MAX,
        };
        Descriptors {
            input,
            output,
            patience,
        }
    }

    /// What a server does not read itself, since it is at work.
    fn until_it_stops(silence: u64, both: bool, mut is_over: impl FnMut() -> bool, stop: fn()) {
        let (input, from) = sys::pipe().unwrap();
        let (to, output) = sys::pipe().unwrap();
        let alive = Alive::attend_until(ends(input, output, [1, silence]), Half::Server, stop);
        if both {
            alive.begin();
        } else {
            drop((from, to));
        }
        while !is_over() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(alive.over.load(Relaxed));
    }

    #[test]
    fn what_was_asked_for_stops_when_the_client_hangs_up() {
        static STOPPED: AtomicUsize = AtomicUsize::new(0);
        let stopped = || STOPPED.load(Relaxed) == 1;
        until_it_stops(u64::MAX, false, stopped, || {
            STOPPED.fetch_add(1, Relaxed);
        });
    }

    #[test]
    fn what_was_asked_for_stops_when_the_client_is_silent() {
        static STOPPED: AtomicUsize = AtomicUsize::new(0);
        let stopped = || STOPPED.load(Relaxed) == 1;
        until_it_stops(20, true, stopped, || {
            STOPPED.fetch_add(1, Relaxed);
        });
    }

    #[test]
    fn silence_is_broken_between_frames_only() {
        let (input, _from) = sys::pipe().unwrap();
        let (to, output) = sys::pipe().unwrap();
        let alive = Alive::attend_until(ends(input, output, [1, u64::MAX]), Half::Client, || ());
        let mut beats = [0; 20];
        let mut to = File::from(to);
        alive.begin();
        to.read_exact(&mut beats).unwrap();
        assert_eq!(beats, *[BEAT; 4].as_flattened());
        let frame = alive.frame().unwrap();
        alive.busy(false);
        drop(frame);
        // A frame that was not written to its end is followed by nothing.
        assert!(alive.frame().is_err());
    }
}
