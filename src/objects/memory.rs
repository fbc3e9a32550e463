//! Objects in memory, for tests: complete, as strict as a good service, and able to fail wherever a
//! test wants it to. Clones are the same objects. Knows no layout.

mod verbs;

use super::{
    About, Concurrency, Counters, FROZEN, Head, Limits, Objects, Unfinished, Unread, UploadedPart,
};
use crate::archive::ArchiveState;
use crate::error::{Cause, Error, Result};
use crate::prices::freezes;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Objects in memory.
#[derive(Clone)]
pub struct Memory {
    limits: Limits,
    counters: Arc<Counters>,
    state: Arc<Mutex<MemoryState>>,
}

#[derive(Default)]
struct MemoryState {
    objects: BTreeMap<String, StoredObject>,
    uploads: BTreeMap<String, MemoryUpload>,
    /// Objects that were asked to be thawed, and whether they are.
    thawed: BTreeMap<String, bool>,
    calls: usize,
    /// How far the clock is ahead.
    ahead: SignedDuration,
    breaks: Option<Box<Breaks>>,
    /// How listings show a key, if not as it was written.
    shown_as: Option<fn(&str) -> String>,
    /// What listings cannot look at.
    unread: Vec<Unread>,
}

/// Decides what happens to a call: a verb, a key, and how many calls came before.
pub type Breaks = dyn FnMut(&str, &str, usize) -> Option<Break> + Send;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// It is not carried out.
    Fails,
    /// It is carried out, and nobody hears of it.
    LosesAnswer,
}

#[derive(Clone)]
struct StoredObject {
    bytes: Arc<Vec<u8>>,
    head: Head,
    /// Bytes of its parts, if it was made of such, and how many there are.
    parts: Option<(u64, u64)>,
    modified: Timestamp,
}

struct MemoryUpload {
    shown: Unfinished,
    part: u64,
    head: Head,
    parts: BTreeMap<u64, (UploadedPart, Vec<u8>)>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

impl Memory {
    /// Nothing yet; uploads have parts of so many bytes.
    pub fn new(part: u64) -> Memory {
        Memory {
            limits: Limits {
                max_parts: 10_000,
                max_object: 1 << 40,
                part_size: Some(part),
                concurrency: Concurrency::of(2),
                class: None,
            },
            counters: Arc::default(),
            state: Arc::default(),
        }
    }

    /// The same objects for a run with other limits, and counters of its own.
    #[must_use]
    pub fn with(&self, change: impl FnOnce(&mut Limits)) -> Memory {
        let mut limits = self.limits.clone();
        change(&mut limits);
        Memory {
            limits,
            counters: Arc::default(),
            state: Arc::clone(&self.state),
        }
    }

    /// From now on calls go as this says.
    pub fn break_if(
        &self,
        breaks: impl FnMut(&str, &str, usize) -> Option<Break> + Send + 'static,
    ) {
        let mut state = self.state();
        state.breaks = Some(Box::new(breaks));
        state.calls = 0;
    }

    /// All is well again. How many calls there were.
    pub fn mend(&self) -> usize {
        let mut state = self.state();
        state.breaks = None;
        state.calls
    }

    /// Lets time pass.
    pub fn pass(&self, time: SignedDuration) {
        let mut state = self.state();
        state.ahead = state.ahead.saturating_add(time);
    }

    /// From now on listings show keys so, as services do that take one key for another.
    pub fn show_as(&self, shown_as: fn(&str) -> String) {
        self.state().shown_as = Some(shown_as);
    }

    /// From now on listings cannot look at what has this key, or is in this folder.
    pub fn hide(&self, key: &str) {
        let (key, why) = (key.to_owned(), format!("cannot read {key}: it is hidden"));
        self.state().unread.push(Unread { key, why });
    }

    /// Moves objects to another storage class, as lifecycle rules do.
    pub fn change_class(&self, is: impl Fn(&str) -> bool, class: &str) {
        let mut state = self.state();
        let objects = state.objects.iter_mut().filter(|(key, _)| is(key));
        objects.for_each(|(_, stored)| stored.head.class = class.to_owned());
    }

    /// What was asked to be thawed is.
    pub fn thaw_all(&self) {
        let mut state = self.state();
        state.thawed.values_mut().for_each(|done| *done = true);
    }

    /// The keys of all objects, in order.
    pub fn keys(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// The bytes of an object.
    pub fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let found = state.objects.get(key);
        found.map(|stored| stored.bytes.to_vec())
    }

    /// Writes bytes past all checks, as damage and other programs do. Metadata stay.
    pub fn overwrite(&self, key: &str, bytes: &[u8]) {
        let mut state = self.state();
        let modified = state.now();
        let meta = state.objects.remove(key).map(|old| old.head);
        let mut stored = verbs::stored(bytes, &About::default(), modified);
        if let Some(old) = meta {
            (stored.head.meta, stored.head.class) = (old.meta, old.class);
        }
        state.objects.insert(key.to_owned(), stored);
    }

    /// Removes an object past all checks.
    pub fn lose(&self, key: &str) {
        self.state().objects.remove(key);
    }

    fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out a call, unless it is to fail.
    fn call<T>(
        &self,
        verb: &str,
        key: &str,
        run: impl FnOnce(&mut MemoryState) -> Result<T>,
    ) -> Result<T> {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        let before = state.calls;
        state.calls += 1;
        let breaks = state.breaks.as_mut();
        let broken = breaks.and_then(|breaks| breaks(verb, key, before));
        let failed = || Error::failed(format!("cannot {verb} {}", self.url(key)), "it broke");
        match broken {
            Some(Break::Fails) => Err(failed()),
            Some(Break::LosesAnswer) => run(&mut state).and(Err(failed())),
            None => run(&mut state),
        }
    }

    fn frozen(&self, verb: &str, key: &str) -> Error {
        let said = "the object is archived and must be thawed first";
        let cause = Cause::Refusal(FROZEN.into());
        self.wrong(verb, key, said).cause(cause)
    }

    fn wrong(&self, verb: &str, key: &str, said: &str) -> Error {
        Error::failed(format!("cannot {verb} {}", self.url(key)), said)
    }
}

impl MemoryState {
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        now.checked_add(self.ahead).unwrap_or(now)
    }

    /// Whether an object cannot be read.
    fn state_of(&self, key: &str, stored: &StoredObject) -> ArchiveState {
        match self.thawed.get(key) {
            _ if !freezes(&stored.head.class) => ArchiveState::Readable,
            Some(true) => ArchiveState::Thawed(None),
            Some(false) => ArchiveState::Thawing,
            None => ArchiveState::Frozen,
        }
    }

    /// A key as listings show it.
    fn shown_as(&self, key: &str) -> String {
        self.shown_as
            .map_or_else(|| key.to_owned(), |shown| shown(key))
    }

    fn is_frozen(&self, key: &str) -> bool {
        let stored = self.objects.get(key);
        stored.is_some_and(|stored| !self.state_of(key, stored).is_readable())
    }

    fn readable(&self, key: &str) -> Option<&StoredObject> {
        let stored = self.objects.get(key)?;
        self.state_of(key, stored).is_readable().then_some(stored)
    }
}
