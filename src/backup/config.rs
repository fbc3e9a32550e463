//! The configuration file of scheduled backups: every key, its default and its bounds. Text in,
//! values out; unknown and mistyped keys are errors that name the nearest known one.

mod bucket;
mod nearest;
mod places;
mod reader;

use super::hooks::{self, Hooks};
use super::retention::{self, ChainPolicy, Policy};
use super::schedule::Schedule;
use crate::archive::Tier;
use crate::error::{Doing, Error, Result};
use crate::snapshot::shown;
use crate::store::{Location, Place, ReceiveWith, Sse};
use crate::sys::secure_open::{self, Unopened};
pub use places::Places;
use reader::ConfigReader;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// As many bytes as a configuration may have.
const LONGEST: u64 = 1 << 20;
/// Five MiB: the smallest part of an upload but the last.
const SMALLEST_PART: u64 = 5 << 20;
const GIB_200: u64 = 200 << 30;

/// What the file says, and the defaults for what it does not.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[global]`
    pub global: Global,
    /// `[schedule]`
    pub schedule: Schedule,
    /// `[snapshots]`
    pub snapshots: Snapshots,
    /// `[subvolumes]`, each with the name of its backups.
    pub subvolumes: Vec<(String, PathBuf)>,
    /// `[s3]`
    pub s3: BucketConfig,
    /// `[restore]`
    pub restore: Restore,
    /// `[[destination]]`
    pub destinations: Vec<DestinationConfig>,
    /// `[hooks]`
    pub hooks: Hooks,
    /// Every key, for a person.
    pub entries: Vec<Setting>,
}

/// A key as it was understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// `section.key`
    pub key: &'static str,
    /// As TOML would have it.
    pub value: String,
    /// The file does not say it.
    pub default: bool,
}

/// Files and limits of the program itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Global {
    /// How much is logged.
    pub log_level: Level,
    /// Where the last runs are remembered.
    pub state_path: PathBuf,
    /// Where btrfs_to_s3 remembered them, if the file names no other place: read as long as there is
    /// nothing in the new one.
    pub old_state: Option<PathBuf>,
    /// The lock that one run at a time holds.
    pub lock_path: PathBuf,
    /// Where parts wait on disk, if they do.
    pub spool_dir: PathBuf,
    /// Bytes that may wait there.
    pub spool_size_bytes: u64,
}

/// Snapshots on this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshots {
    /// Where they are made.
    pub base_dir: PathBuf,
    /// How many of each subvolume are kept, beside parents still needed.
    pub retain: u64,
}

/// Where backups go, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BucketConfig {
    /// Its name.
    pub bucket: String,
    /// Where it is.
    pub region: String,
    /// How keys begin.
    pub prefix: String,
    /// Another service than AWS.
    pub endpoint_url: Option<String>,
    /// Bytes at which streams are cut.
    pub chunk_size_bytes: u64,
    /// Bytes of the parts of an upload; `None` for what fits the chunk.
    pub part_size_bytes: Option<u64>,
    /// Of chunks.
    pub storage_class_chunks: String,
    /// Of manifests and pointers.
    pub storage_class_manifest: String,
    /// Parts on their way at the same time.
    pub concurrency: u64,
    /// Whether parts wait on disk instead of in memory.
    pub spool_enabled: bool,
    /// Encryption at the service.
    pub sse: Sse,
    /// Which backups are let go.
    pub keeps: ChainPolicy,
}

/// Where snapshots go beside the bucket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DestinationConfig {
    /// A directory of snapshots.
    pub place: Place,
    /// Which stay there.
    pub keeps: Policy,
    /// On this machine it must be on a filesystem mounted for it.
    pub require_mount: bool,
    /// What arrives there is held against its source.
    pub compare: bool,
}

/// The way back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restore {
    /// Where to, if nothing else is said.
    pub target_base_dir: PathBuf,
    /// What is compared afterwards.
    pub verify_mode: VerifyMode,
    /// Files that a sample has at most.
    pub sample_max_files: u64,
    /// Whether to wait for frozen objects.
    pub wait_for_restore: bool,
    /// For how long, in seconds.
    pub restore_timeout_seconds: u64,
    /// How fast they are thawed, and so for how much.
    pub restore_tier: Tier,
    /// How snapshots are received, if not as usual.
    pub receive_with: Option<ReceiveWith>,
}

/// What is compared after a restore.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VerifyMode {
    /// Everything.
    Full,
    /// All attributes, and the contents of some files.
    Sample,
    /// Nothing.
    None,
}

/// As the file and the command line have them.
pub const VERIFY_MODES: &[(&str, VerifyMode)] = &[
    ("full", VerifyMode::Full),
    ("sample", VerifyMode::Sample),
    ("none", VerifyMode::None),
];

/// How much a scheduled run says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Everything, and a debug log.
    Debug,
    /// What happens.
    Info,
    /// What is not as usual.
    Warning,
    /// What went wrong.
    Error,
}

/// As the file and the command line have them.
pub const LEVELS: &[(&str, Level)] = &[
    ("debug", Level::Debug),
    ("info", Level::Info),
    ("warning", Level::Warning),
    ("error", Level::Error),
    ("critical", Level::Error),
];

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read or understood, or has hooks that others than root could have written.
    pub fn read(path: &Path) -> Result<Config> {
        let name = shown(path);
        if !path.is_absolute() {
            let said = "the path of a configuration file is absolute";
            return Err(Error::usage(format!("cannot use {name}"), said));
        }
        let doing = || format!("cannot read {name}");
        let found = Unopened::at(path).doing(doing)?;
        let text = secure_open::read_found(&found, LONGEST).doing(doing)?;
        let text = String::from_utf8(text).map_err(|_| Error::usage(doing(), "it is not UTF-8"))?;
        let places = Places::of(path);
        let config = Config::parse(&name, &text, &places)?;
        config.hooks.check(path, found.strange.as_ref())?;
        Ok(config)
    }

    /// Understands the text of the file `name`.
    ///
    /// # Errors
    /// If it is no TOML, has keys that are unknown or mistyped, or lacks one.
    pub fn parse(name: &str, text: &str, places: &Places) -> Result<Config> {
        let mut file = ConfigReader::new(name, text)?;
        let config = Config {
            global: global(&mut file, places)?,
            schedule: schedule(&mut file)?,
            snapshots: Snapshots {
                base_dir: file.path("snapshots.base_dir", "/srv/snapshots".into())?,
                retain: file.number("snapshots.retain", 2, 1)?,
            },
            subvolumes: subvolumes(&mut file)?,
            s3: bucket::read(&mut file)?,
            restore: restore(&mut file)?,
            destinations: file.many(destination)?,
            hooks: hooks(&mut file)?,
            entries: Vec::new(),
        };
        if config.s3.spool_enabled && config.global.spool_size_bytes < SMALLEST_PART {
            let said = format!(
                "is {}, and must be at least {SMALLEST_PART}: one part of an upload",
                config.global.spool_size_bytes
            );
            return Err(file.wrong("global.spool_size_bytes", &said));
        }
        let entries = file.entries;
        Ok(Config { entries, ..config })
    }
}

fn global(file: &mut ConfigReader, places: &Places) -> Result<Global> {
    let state_path = file.path("global.state_path", places.state.clone())?;
    Ok(Global {
        log_level: file.choice("global.log_level", "info", LEVELS)?,
        old_state: (state_path == places.state).then(|| places.old_state.clone()),
        state_path,
        lock_path: file.path("global.lock_path", places.lock.clone())?,
        spool_dir: file.path("global.spool_dir", "/mnt/ssd/btrfs_to_s3_spool".into())?,
        spool_size_bytes: file.number("global.spool_size_bytes", GIB_200, 1)?,
    })
}

fn schedule(file: &mut ConfigReader) -> Result<Schedule> {
    const DAYS: u64 = 1_000_000;
    let mut days = |key, default| -> Result<u32> {
        let days = file.number(key, default, 1)?;
        // More than the calendar has.
        Ok(u32::try_from(days.min(DAYS)).unwrap_or(u32::MAX))
    };
    Ok(Schedule {
        full_every: days("schedule.full_every_days", 180)?,
        incremental_every: days("schedule.incremental_every_days", 7)?,
        run_at: file.time("schedule.run_at", "02:00")?,
    })
}

/// Backups are called after the last part of the path, so two must not share it.
fn subvolumes(file: &mut ConfigReader) -> Result<Vec<(String, PathBuf)>> {
    const KEY: &str = "subvolumes.paths";
    let mut seen: HashMap<String, PathBuf> = HashMap::new();
    let mut all = Vec::new();
    for path in file.paths(KEY)? {
        let Some(name) = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
        else {
            let said = format!(
                "has {}, which has no name to call its backups by",
                shown(&path)
            );
            return Err(file.wrong(KEY, &said));
        };
        if let Some(other) = seen.insert(name.clone(), path.clone()) {
            let said = format!(
                "has {} and {}, whose backups would both be called {name}",
                shown(other),
                shown(&path)
            );
            return Err(file.wrong(KEY, &said));
        }
        all.push((name, path));
    }
    Ok(all)
}

fn destination(file: &mut ConfigReader) -> Result<DestinationConfig> {
    let text = file.required("destination.location")?;
    let said =
        |file: &ConfigReader, key, error: Error| file.wrong(key, &format!("is wrong: {error}"));
    let location = Location::directory(text.as_ref());
    let place = location.map_err(|error| said(file, "destination.location", error))?;
    if place.place.path().is_some_and(Path::is_relative) {
        let what = format!("is {text:?}, and must be an absolute path, ssh://…, s3://… or raw:/…");
        return Err(file.wrong("destination.location", &what));
    }
    let mut keeps = match file.optional("destination.keep")? {
        Some(policy) => {
            Policy::parse(&policy).map_err(|error| said(file, "destination.keep", error))?
        }
        None => Policy::default(),
    };
    let newest = file.optional_number("destination.retain", 1)?;
    keeps.newest = newest.map(|newest| usize::try_from(newest).unwrap_or(usize::MAX));
    if let Some(age) = file.optional("destination.keep_min")? {
        let age =
            retention::age(&age).map_err(|error| said(file, "destination.keep_min", error))?;
        keeps.least = Some(age);
        if keeps.keeps_all() {
            let what = "comes with destination.keep or destination.retain";
            return Err(file.wrong("destination.keep_min", what));
        }
    }
    let compare = file.flag("destination.compare", false)?;
    if compare && place.place.keeps_streams() {
        let what = "is true, and in a bucket there is nothing to compare with before a restore \
                    (restore --verify full compares then)";
        return Err(file.wrong("destination.compare", what));
    }
    Ok(DestinationConfig {
        place: place.place,
        keeps,
        compare,
        require_mount: file.flag("destination.require_mount", false)?,
    })
}

fn hooks(file: &mut ConfigReader) -> Result<Hooks> {
    let seconds = file.optional_number("hooks.timeout_seconds", 1)?;
    Ok(Hooks {
        before: file.command("hooks.before")?,
        after: file.command("hooks.after")?,
        timeout: Duration::from_secs(seconds.unwrap_or(hooks::TIMEOUT)),
    })
}

fn restore(file: &mut ConfigReader) -> Result<Restore> {
    const TIERS: &[(&str, Tier)] = &[
        ("Standard", Tier::Standard),
        ("Bulk", Tier::Bulk),
        ("Expedited", Tier::Expedited),
    ];
    const WAYS: &[(&str, Option<ReceiveWith>)] = &[
        ("auto", None),
        ("builtin", Some(ReceiveWith::Builtin)),
        ("btrfs", Some(ReceiveWith::Btrfs)),
    ];
    Ok(Restore {
        target_base_dir: file.path("restore.target_base_dir", "/srv/restore".into())?,
        verify_mode: file.choice("restore.verify_mode", "full", VERIFY_MODES)?,
        sample_max_files: file.number("restore.sample_max_files", 1000, 1)?,
        wait_for_restore: file.flag("restore.wait_for_restore", true)?,
        restore_timeout_seconds: file.number("restore.restore_timeout_seconds", 259_200, 1)?,
        restore_tier: file.choice("restore.restore_tier", "Standard", TIERS)?,
        receive_with: file.choice("restore.receive_with", "auto", WAYS)?,
    })
}

#[cfg(test)]
mod tests;
