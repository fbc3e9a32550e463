//! Archives: `[s3]`, and what a `[[destination]]` of that kind says in keys of its own. Opens none.

use super::looks::{self, LookAgain};
use super::policy;
use super::reader::ConfigReader;
use super::subvolumes::every;
use super::{ARCHIVE, GIB_200, SMALLEST_PART};
use crate::backup::retention::ChainPolicy;
use crate::backup::schedule::{Every, Schedule};
use crate::error::{Error, Result};
use crate::store::{self, Concurrency, Location, Place, Sse};
use jiff::SignedDuration;

/// Streams in chunks, in a bucket or in the directory that is in its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArchiveConfig {
    /// What `[[subvolume]]` calls it.
    pub name: String,
    /// Further names, which others may have too.
    pub groups: Vec<String>,
    /// When it gets a backup, and of which kind.
    pub schedule: Schedule,
    /// The name of its bucket, or a directory.
    pub bucket: String,
    /// Where that is; empty for what is not said.
    pub region: String,
    /// The beginning of all keys.
    pub prefix: String,
    /// Another service than AWS.
    pub endpoint_url: Option<String>,
    /// As whom requests are made.
    pub profile: Option<String>,
    /// Bytes in a second.
    pub bwlimit: Option<u64>,
    /// Bytes at which streams are cut.
    pub chunk_size_bytes: u64,
    /// Bytes of the parts of an upload; `None` for what fits the chunk.
    pub part_size_bytes: Option<u64>,
    /// The storage class of chunks; `None` in a directory, which has no such classes.
    pub storage_class_chunks: Option<String>,
    /// The storage class of manifests and pointers.
    pub storage_class_manifest: Option<String>,
    /// Parts on their way at the same time.
    pub concurrency: Concurrency,
    /// Whether parts wait on disk instead of in memory.
    pub spool_enabled: bool,
    /// Encryption at the service.
    pub sse: Sse,
    /// Which backups are let go.
    pub keeps: ChainPolicy,
    /// How old the newest may be before that is late.
    pub max_age: Option<SignedDuration>,
    /// How what it has is looked at again, if it is.
    pub verify: Option<LookAgain>,
}

impl ArchiveConfig {
    /// Whether a `[[subvolume]]` that says so means it.
    pub fn is_called(&self, word: &str) -> bool {
        self.name == word || self.groups.iter().any(|group| group == word)
    }

    /// Whether it is `[s3]`, and no `[[destination]]`.
    pub fn is_section(&self) -> bool {
        self.name == ARCHIVE
    }

    /// Whether it is in a directory, and in no bucket at a service.
    pub fn is_in_directory(&self) -> bool {
        is_directory(&self.bucket)
    }

    /// A key of its section, in full.
    pub fn key(&self, key: &str) -> String {
        let section = if self.is_section() {
            "s3"
        } else {
            "destination"
        };
        format!("{section}.{key}")
    }

    /// Where it is, as a location.
    pub fn location(&self) -> String {
        let (bucket, prefix) = (
            self.bucket.trim_end_matches('/'),
            self.prefix.trim_matches('/'),
        );
        let scheme = if is_directory(bucket) { "" } else { "s3://" };
        match prefix {
            "" => format!("{scheme}{bucket}/"),
            _ => format!("{scheme}{bucket}/{prefix}/"),
        }
    }
}

fn is_directory(bucket: &str) -> bool {
    let found = Location::directory(bucket.as_ref());
    found.is_ok_and(|at| at.place.keeps_streams() && !at.place.is_at_a_service())
}

/// What is no bucket at a service has none.
fn region(file: &mut ConfigReader, directory: bool) -> Result<String> {
    match directory {
        true => Ok(file.optional("s3.region")?.unwrap_or_default()),
        false => file.required("s3.region"),
    }
}

/// What has a meaning at a service only, is a mistake in a directory.
fn only_at_services(file: &ConfigReader, directory: bool, keys: &[&str]) -> Result<()> {
    match keys.iter().find(|key| directory && file.has_key(key)) {
        Some(key) => Err(file.wrong(key, "is only for a bucket at a service")),
        None => Ok(()),
    }
}

/// A storage class, where there are any.
fn class_of(
    file: &mut ConfigReader,
    directory: bool,
    key: &'static str,
    usual: &str,
) -> Result<Option<String>> {
    match directory {
        true => Ok(None),
        false => Ok(Some(class(file.text(key, usual)?))),
    }
}

/// A number of requests, or `auto`.
fn concurrency(file: &mut ConfigReader, directory: bool, key: &'static str) -> Result<Concurrency> {
    if directory {
        return Ok(Concurrency::of(1)); // A directory has its own.
    }
    if file.says(key, "auto") {
        return Ok(Concurrency::AUTO);
    }
    let number = file.number(key, 4, 1)?;
    Ok(Concurrency::of(
        usize::try_from(number).unwrap_or(usize::MAX),
    ))
}

/// Keys that mean something at a service only.
const OF_SERVICES_IN_S3: &[&str] = &[
    "s3.endpoint_url",
    "s3.storage_class_chunks",
    "s3.storage_class_manifest",
    "s3.concurrency",
    "s3.sse",
];
const OF_SERVICES: &[&str] = &[
    "destination.region",
    "destination.endpoint_url",
    "destination.profile",
    "destination.storage_class",
    "destination.storage_class_manifest",
    "destination.concurrency",
    "destination.sse",
];

/// `[s3]`: nothing if the file has no such section.
pub(super) fn read(file: &mut ConfigReader, schedule: Schedule) -> Result<Option<ArchiveConfig>> {
    if !file.has("s3") {
        return Ok(None);
    }
    let bucket = file.required("s3.bucket")?;
    let directory = is_directory(&bucket);
    only_at_services(file, directory, OF_SERVICES_IN_S3)?;
    Ok(Some(ArchiveConfig {
        name: ARCHIVE.to_owned(),
        groups: Vec::new(),
        schedule,
        bucket,
        region: region(file, directory)?,
        prefix: prefix(file)?,
        endpoint_url: file.optional("s3.endpoint_url")?,
        profile: None,
        bwlimit: None,
        chunk_size_bytes: file.number("s3.chunk_size_bytes", GIB_200, 1)?,
        part_size_bytes: file.optional_number("s3.part_size_bytes", SMALLEST_PART)?,
        storage_class_chunks: class_of(file, directory, "s3.storage_class_chunks", "DEEP_ARCHIVE")?,
        storage_class_manifest: class_of(file, directory, "s3.storage_class_manifest", "STANDARD")?,
        concurrency: concurrency(file, directory, "s3.concurrency")?,
        spool_enabled: file.flag("s3.spool_enabled", false)?,
        sse: encryption(file, directory, "s3.sse")?,
        keeps: ChainPolicy {
            newest: file.optional_number("s3.retain_full_chains", 1)?,
            days: file.optional_number("s3.retain_days", 1)?,
        },
        max_age: policy::age(file, "s3.max_age")?,
        verify: looks::read(file, "s3.verify", schedule.run_at, true)?,
    }))
}

/// A `[[destination]]` that is one.
pub(super) fn destination(
    file: &mut ConfigReader,
    place: &Place,
    usual: Schedule,
) -> Result<ArchiveConfig> {
    let (bucket, prefix) = bucket_at(file, place)?;
    let directory = is_directory(&bucket);
    only_at_services(file, directory, OF_SERVICES)?;
    Ok(ArchiveConfig {
        name: file.required("destination.name")?,
        groups: file.words("destination.groups")?,
        schedule: schedule(file, usual)?,
        bucket,
        region: file.optional("destination.region")?.unwrap_or_default(),
        prefix,
        endpoint_url: file.optional("destination.endpoint_url")?,
        profile: file.optional("destination.profile")?,
        bwlimit: file.optional_number("destination.bwlimit_bytes", 1)?,
        chunk_size_bytes: file.number("destination.chunk_size_bytes", GIB_200, 1)?,
        part_size_bytes: file.optional_number("destination.part_size_bytes", SMALLEST_PART)?,
        storage_class_chunks: class_of(
            file,
            directory,
            "destination.storage_class",
            "DEEP_ARCHIVE",
        )?,
        storage_class_manifest: class_of(
            file,
            directory,
            "destination.storage_class_manifest",
            "STANDARD",
        )?,
        concurrency: concurrency(file, directory, "destination.concurrency")?,
        spool_enabled: file.flag("destination.spool_enabled", false)?,
        sse: encryption(file, directory, "destination.sse")?,
        keeps: ChainPolicy {
            newest: file.optional_number("destination.retain_full_chains", 1)?,
            days: file.optional_number("destination.retain_days", 1)?,
        },
        max_age: policy::age(file, "destination.max_age")?,
        verify: looks::read(file, "destination.verify", usual.run_at, true)?,
    })
}

/// The bucket of an archive at a place, and how its keys begin.
fn bucket_at(file: &ConfigReader, place: &Place) -> Result<(String, String)> {
    let wrong = |said: &str| Err(file.wrong("destination.location", &format!("is {place}{said}")));
    let Some((bucket, prefix)) = place.bucket() else {
        return wrong(", and an archive is at s3://… or raw:/…");
    };
    match store::refuse_folder(&prefix) {
        Some(said) => wrong(&format!(": {said}")),
        None => Ok((bucket, prefix)),
    }
}

/// What a `[[destination]]` does not say of that is as in `[schedule]`.
fn schedule(file: &mut ConfigReader, usual: Schedule) -> Result<Schedule> {
    let mut own = |key, usual: Every| Ok(every(file, key)?.unwrap_or(usual));
    let (full_every, incremental_every) = (
        own("destination.full_every", usual.full_every)?,
        own("destination.every", usual.incremental_every)?,
    );
    Ok(Schedule {
        full_every,
        incremental_every,
        run_at: file
            .optional_time("destination.at")?
            .unwrap_or(usual.run_at),
    })
}

/// The storage classes of AWS.
pub const STORAGE_CLASSES: &[&str] = &[
    "STANDARD",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "GLACIER_IR",
    "DEEP_ARCHIVE",
    "REDUCED_REDUNDANCY",
];

/// A class of AWS by its name; other services may have classes that differ by their case only.
pub(super) fn class(text: String) -> String {
    let known = STORAGE_CLASSES
        .iter()
        .find(|word| word.eq_ignore_ascii_case(&text));
    known.map_or(text, |word| (*word).to_owned())
}

fn prefix(file: &mut ConfigReader) -> Result<String> {
    let prefix = file.required("s3.prefix")?;
    match store::refuse_folder(&prefix) {
        Some(said) => Err(file.wrong("s3.prefix", &format!("is {prefix:?}: {said}"))),
        None => Ok(prefix),
    }
}

/// Of what is not said, AES256 is what every service but a few takes.
fn encryption(file: &mut ConfigReader, directory: bool, key: &'static str) -> Result<Sse> {
    if directory {
        return Ok(Sse::Usual);
    }
    let Some(text) = file.optional(key)? else {
        file.text(key, "AES256")?;
        return Ok(Sse::Usual);
    };
    let wrong = |error: Error| file.wrong(key, &format!("is wrong: {error}"));
    text.parse().map_err(wrong)
}
