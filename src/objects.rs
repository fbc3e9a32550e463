//! Objects under keys, whatever keeps them: the verbs that a bucket is made of, and what they speak of.
//! Knows neither snapshots nor what keys mean.

mod keeper;

pub mod directory;
mod inventory;
pub mod memory;
mod part;

pub use part::{Part, UploadedPart};

use crate::archive::{ArchiveState, Tier};
use crate::digest::{Algorithm, Hasher};
use crate::error::{Error, Result};
use crate::text::shown;
pub use inventory::{Inventory, Unread};
use jiff::Timestamp;
pub use keeper::Keeper;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64};

/// An object as a listing shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Its whole key.
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// What changes with its bytes; without quotes.
    pub etag: String,
    /// When it was written.
    pub modified: Option<Timestamp>,
    /// Its storage class; empty for the usual one, or if it is not told.
    pub class: String,
}

/// An upload in parts that was begun, and neither completed nor aborted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// The key that it is for.
    pub key: String,
    /// The name of the upload.
    pub id: String,
    /// When it was begun.
    pub started: Option<Timestamp>,
    /// The storage class that its object will have.
    pub class: String,
    /// What its parts are verified by, if that had to be declared.
    pub algorithm: String,
}

/// An object that is read, or one of several that make a stream together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its key.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its ETag, which every range of it must have; empty if it is not known.
    pub etag: String,
}

impl Source {
    /// What stands for an ETag where only length and time are known.
    pub(crate) fn etag_of_time(size: u64, second: i64) -> String {
        format!("{size:x}.{second:x}")
    }

    /// Whether its ETag is such, and says nothing of its bytes.
    pub(crate) fn is_known_by_time(&self) -> bool {
        self.etag.contains('.')
    }
}

impl From<Object> for Source {
    fn from(object: Object) -> Source {
        Source {
            key: object.key,
            size: object.size,
            etag: object.etag,
        }
    }
}

/// Bytes of an object.
#[derive(Debug, Default)]
pub struct RangeBytes {
    /// As many as were asked for.
    pub bytes: Vec<u8>,
    /// The SHA-256 of the whole object, if its metadata has it.
    pub sha256: Option<String>,
}

/// What is known about a single object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// In bytes.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// Its storage class; empty for the usual one.
    pub class: String,
    /// What was written with it.
    pub meta: BTreeMap<String, String>,
}

impl Head {
    /// A value of ours; empty if it is not there.
    pub fn meta(&self, name: &str) -> &str {
        self.meta.get(name).map_or("", String::as_str)
    }
}

/// Metadata of an object, by name.
pub type Meta = Vec<(&'static str, String)>;

/// What is written with an object.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Its metadata.
    pub meta: Meta,
    /// The type of its content.
    pub content_type: &'static str,
    /// Its storage class; `None` leaves it to whatever keeps the objects.
    pub class: Option<String>,
}

/// What objects there can be, and how many requests go on at a time.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How many parts an object may have.
    pub max_parts: u64,
    /// How many bytes an object may have.
    pub max_object: u64,
    /// Bytes of parts, if somebody chose; otherwise the size of a stream decides.
    pub part_size: Option<u64>,
    /// Requests at the same time in one transfer.
    pub concurrency: Concurrency,
    /// The storage class of streams, if somebody chose.
    pub class: Option<String>,
}

impl Limits {
    /// How many pieces of so many bytes one transfer may have on their way.
    pub fn pieces(&self, bytes: u64) -> usize {
        let Concurrency { first, most } = self.concurrency;
        let room = usize::try_from(MEMORY / bytes.max(1)).unwrap_or(usize::MAX);
        most.min(room).max(first)
    }
}

/// Bytes of pieces that a transfer goes up to by itself.
const MEMORY: u64 = 256 << 20;

/// How many requests are under way at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// At first, in a transfer. At least 1.
    pub first: usize,
    /// While more bring more bytes, and where answers are small.
    pub most: usize,
}

impl Concurrency {
    /// Few at first, and more where that gains something.
    pub const AUTO: Concurrency = Concurrency { first: 4, most: 32 };

    /// Always so many, or one.
    pub fn of(number: usize) -> Concurrency {
        let first = number.max(1);
        Concurrency { first, most: first }
    }
}

impl FromStr for Concurrency {
    type Err = Error;

    fn from_str(text: &str) -> Result<Concurrency> {
        let number = text.parse().ok().filter(|&number| number > 0);
        match text {
            "auto" => Some(Concurrency::AUTO),
            _ => number.map(Concurrency::of),
        }
        .ok_or_else(|| {
            let doing = format!("cannot use the concurrency '{}'", shown(text));
            Error::usage(doing, "it is a whole number from 1 up, or auto")
        })
    }
}

/// What was done, for reports and tests.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests that were sent, repeated ones too.
    pub requests: AtomicU64,
    /// Requests that were sent again.
    pub retries: AtomicU64,
    /// Parts that were uploaded.
    pub parts_sent: AtomicU64,
    /// Parts that an earlier run had uploaded.
    pub parts_skipped: AtomicU64,
}

/// What is said of an object's bytes where it is kept, and how to compute the same, so that nothing needs
/// to be fetched to know whether they are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteChecksum {
    /// How it is computed.
    pub algorithm: Algorithm,
    /// As it is written there.
    pub value: String,
    /// Bytes of a part; `None` if the value is of the whole.
    pub part: Option<u64>,
    /// The length of the parts is certain.
    pub sure: bool,
}

impl RemoteChecksum {
    /// Grows with the bytes to what [`RemoteChecksum::written`] makes comparable.
    pub fn hasher(&self) -> Hasher {
        Hasher::new(self.algorithm, self.part)
    }

    /// The checksum as it is written there.
    pub fn written(&self, hasher: Hasher) -> String {
        match self.algorithm {
            Algorithm::Md5 | Algorithm::TreeHash => hasher.hex(),
            _ => hasher.base64(),
        }
    }

    /// Whether these bytes are there, as far as it can be known.
    pub fn holds(&self, hasher: Hasher) -> bool {
        self.written(hasher) == self.value
    }
}

/// An object as far as archives go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cold {
    /// Its storage class.
    pub class: String,
    /// Whether it can be read.
    pub state: ArchiveState,
}

/// What came of asking for an object to be thawed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ThawOutcome {
    /// It will be thawed.
    Accepted,
    /// It is thawed, and stays so for the days asked for.
    Longer,
    /// Somebody asked before, and it goes on as asked then.
    Underway,
    /// It is not frozen.
    NotFrozen,
}

/// The refusal of what must be thawed first, as errors carry it.
pub const FROZEN: &str = "InvalidObjectState";

/// An ETag without the quotes that some answers put around it.
pub fn unquoted(etag: &str) -> &str {
    etag.trim().trim_matches('"')
}

/// The first of these keys, of objects of so many bytes, that is not among those listed.
pub fn absent(listed: &[Object], wanted: &[(&str, u64)]) -> Option<String> {
    let listed: HashMap<&str, u64> = listed.iter().map(|o| (&*o.key, o.size)).collect();
    let mut wanted = wanted.iter();
    let absent = wanted.find(|(key, size)| listed.get(key) != Some(size));
    absent.map(|(key, _)| (*key).to_owned())
}

/// Whatever keeps objects. All of it can be asked by several threads at a time.
///
/// # Errors
/// Each verb fails if what keeps the objects cannot be asked, refuses, or answers what it must not.
pub trait Objects: Debug + Send + Sync {
    /// Where an object is, as people see it, safe to show.
    fn url(&self, key: &str) -> String;

    /// Where they are and by whose leave they are used; nothing secret.
    fn described(&self) -> String {
        self.url("")
    }

    /// What there can be.
    fn limits(&self) -> Limits;

    /// What was done so far.
    fn counters(&self) -> &Counters;

    /// The time.
    fn now(&self) -> Timestamp;

    /// Who keeps them.
    fn keeper(&self) -> Keeper {
        Keeper::Service
    }

    /// The words of a command, of a program that is not ours, which writes an object to its output.
    fn fetched_by(&self, key: &str) -> Vec<String> {
        vec!["cat".to_owned(), self.url(key)]
    }

    /// The words of a command, of a program that is not ours, which has an object thawed.
    fn thawed_by(&self, _key: &str) -> Option<Vec<String>> {
        None
    }

    /// Every object, and every unfinished upload as far as these are told, whose keys begin so.
    fn inventory(&self, prefix: &str) -> Result<Inventory>;

    /// The first of these keys, of objects of so many bytes, that a listing of what begins so does not show.
    fn unlisted(&self, prefix: &str, wanted: &[(&str, u64)]) -> Result<Option<String>> {
        Ok(absent(&self.inventory(prefix)?.objects, wanted))
    }

    /// What is known about an object; `None` if it does not exist.
    fn head(&self, key: &str) -> Result<Option<Head>>;

    /// The whole of a small object; `None` if it does not exist.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>>;

    /// The first bytes of an object that has at least so many; `None` if it is frozen.
    fn beginning(&self, key: &str, count: u64) -> Result<Option<Vec<u8>>>;

    /// Bytes of an object, which must be the one that was listed. `into` is memory to be used again;
    /// when `stop` is set nobody wants them any more.
    fn range(
        &self,
        source: &Source,
        start: u64,
        length: u64,
        into: Vec<u8>,
        stop: &AtomicBool,
    ) -> Result<RangeBytes>;

    /// Writes a small object, in the place of one that is there.
    fn put(&self, key: &str, bytes: &[u8], about: &About) -> Result<()>;

    /// Writes an object that must not be there yet, unless it is the same by the `sha256` in its metadata,
    /// and looks at what came of it.
    fn create(&self, key: &str, bytes: &[u8], about: &About) -> Result<Object>;

    /// Begins an upload in parts of so many bytes, but for the last.
    fn begin(&self, key: &str, part: u64, about: &About) -> Result<Unfinished>;

    /// Whether an upload that was begun before becomes an object as this run would make it.
    fn goes_on(&self, upload: &Unfinished) -> bool;

    /// What an upload was begun with: bytes of its parts, and metadata. `None` where nobody tells, so that others may
    /// be at work on it.
    fn begun_with(&self, _upload: &Unfinished) -> Result<Option<(u64, BTreeMap<String, String>)>> {
        Ok(None)
    }

    /// The parts of an upload that have arrived, in order; `None` if it is gone.
    fn parts(&self, upload: &Unfinished) -> Result<Option<Vec<UploadedPart>>>;

    /// Sends a part, unless it is `known` to be there by what is said of it; and whether it was.
    fn send_part(
        &self,
        upload: &Unfinished,
        part: &Part,
        known: Option<&UploadedPart>,
        stop: &AtomicBool,
    ) -> Result<(UploadedPart, bool)>;

    /// Makes an object of all its parts, and looks at what came of it. With `new` it must not be there yet.
    fn complete(&self, upload: &Unfinished, parts: &[UploadedPart], new: bool) -> Result<Object>;

    /// Gives up an upload. That it is gone already is no error.
    fn abort(&self, upload: &Unfinished) -> Result<()>;

    /// Copies an object with what was written with it, and makes sure that the copy has its length. The
    /// ETag of the copy.
    fn copy(&self, from: &str, to: &str) -> Result<String>;

    /// Removes objects for good. One that does not exist counts as removed.
    fn remove(&self, keys: &[String]) -> Result<()>;

    /// What is said of the bytes of an object; `None` if that is nothing that can be computed.
    fn remote_checksum(&self, object: &Source) -> Result<Option<RemoteChecksum>>;

    /// Of how many parts an object was made, as its ETag says, and as is said of it otherwise.
    fn part_count(&self, object: &Source) -> Result<(u64, Option<u64>)>;

    /// How cold objects are; one that does not exist is left out.
    fn cold(&self, keys: &[&str]) -> Result<BTreeMap<String, Cold>>;

    /// Asks for an object to be thawed and to stay so for some days.
    fn thaw(&self, key: &str, class: &str, tier: Tier, days: u32) -> Result<ThawOutcome>;
}
