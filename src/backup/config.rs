//! The configuration file of scheduled backups: every key, its default and its bounds. Text in,
//! values out; unknown and mistyped keys are errors that name the nearest known one.

mod keys;
mod places;
mod reader;
mod say;

mod archive;
mod looks;
mod policy;
mod programs;
mod subvolumes;

mod destination;

use super::hooks::Hooks;
use super::notify::Notify;
use super::retention::Policy;
use super::schedule::{Cycle, Every, Schedule};
use crate::archive::Tier;
use crate::error::{Doing, Error, Result};
use crate::snapshot::shown;
use crate::store::{Place, ReceiveWith};
use crate::sys::is_root;
use crate::sys::secure_open::{self, Strange, Unopened};
pub use archive::{ArchiveConfig, STORAGE_CLASSES};
pub use destination::DestinationConfig;
use destination::Kind;
pub use keys::Setting;
use keys::{OF_ROOT, OF_ROOT_FOR_ROOT};
pub use looks::LookAgain;
pub use places::OwnFiles;
use reader::ConfigReader;
use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
pub use subvolumes::SubvolumeConfig;

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
    /// `[subvolumes]` and `[[subvolume]]`
    pub subvolumes: Vec<SubvolumeConfig>,
    /// What `[[subvolume]]` may mean and cannot be backed up, and why: patterns that mean nothing that is there,
    /// and what nobody can look at.
    pub unmatched: Vec<(PathBuf, String)>,
    /// `[s3]`, and each `[[destination]]` that is an archive.
    pub archives: Vec<ArchiveConfig>,
    /// `[restore]`
    pub restore: Restore,
    /// Each other `[[destination]]`.
    pub destinations: Vec<DestinationConfig>,
    /// `[hooks]`
    pub hooks: Hooks,
    /// `[notify]`
    pub notify: Notify,
    /// Every key, for a person.
    pub entries: Vec<Setting>,
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

/// Snapshots on this machine, where no `[[subvolume]]` says otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshots {
    /// Where they are made.
    pub base_dir: PathBuf,
    /// Which are kept, beside parents still needed.
    pub keeps: Policy,
    /// Patterns of names that stay wherever they are.
    pub pinned: Vec<OsString>,
}

/// `[restore]`: how backups are restored.
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
    /// They are received also where `btrfs receive` cannot be kept to its filesystem.
    pub receive_unconfined: bool,
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
    /// The events of a run.
    Info,
    /// Errors, and what is not as usual.
    Warning,
    /// Errors only.
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
    /// If it cannot be read or understood, or has what only root may say, and others could have written it or put
    /// another in its place.
    pub fn read(path: &Path) -> Result<Config> {
        let name = shown(path);
        let doing = || format!("cannot read {name}");
        // State and lock are found by it, wherever the next run is started.
        let path = &*std::path::absolute(path).doing(doing)?;
        let found = Unopened::at(path).doing(doing)?;
        let text = secure_open::read_found(&found, LONGEST).doing(doing)?;
        let text = String::from_utf8(text).map_err(|_| Error::usage(doing(), "it is not UTF-8"))?;
        let places = OwnFiles::of(path);
        let config = Config::parse(&name, &text, &places)?;
        config.check_owner(&name, found.strange.as_ref())?;
        Ok(config)
    }

    /// Some of what root does by a file, root must have written: the file that was read, and on the way to it there
    /// must be nothing strange.
    fn check_owner(&self, name: &str, strange: Option<&Strange>) -> Result<()> {
        let of_root = |key| OF_ROOT.contains(&key) || key == OF_ROOT_FOR_ROOT && is_root();
        let mut said = self.entries.iter();
        let said = said.find(|one| !one.default && of_root(one.key) && one.value != "false");
        let Some((entry, Strange { path, uid, mode })) = said.zip(strange) else {
            return Ok(());
        };
        let said = format!(
            "{} is owned by uid {uid} with mode {mode:o}, and only root may be able to write a file that has {}",
            shown(path),
            entry.key
        );
        Err(Error::refused(format!("cannot use {name}"), said))
    }

    /// Where snapshots go, but for archives.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.destinations.iter().map(|dest| &dest.place)
    }

    /// Understands the text of the file `name`.
    ///
    /// # Errors
    /// If it is no TOML, has keys that are unknown or mistyped, or lacks one.
    pub fn parse(name: &str, text: &str, places: &OwnFiles) -> Result<Config> {
        let mut file = ConfigReader::new(name, text)?;
        let global = global(&mut file, places)?;
        let schedule = schedule(&mut file)?;
        let usual = usual(&mut file, &schedule)?;
        let (subvolumes, unmatched) = subvolumes::read(&mut file, &usual)?;
        let mut archives: Vec<ArchiveConfig> =
            archive::read(&mut file, schedule)?.into_iter().collect();
        let mut destinations = Vec::new();
        let kinds = file.many("destination", |file| {
            destination::read(file, &usual.keeps, schedule)
        })?;
        for kind in kinds {
            match kind {
                Kind::Place(place) => destinations.push(*place),
                Kind::Archive(archive) => archives.push(*archive),
            }
        }
        let config = Config {
            global,
            subvolumes,
            unmatched,
            archives,
            restore: restore(&mut file)?,
            destinations,
            hooks: programs::hooks(&mut file)?,
            notify: programs::notify(&mut file)?,
            schedule,
            snapshots: Snapshots {
                base_dir: usual.base_dir,
                keeps: usual.keeps,
                pinned: usual.pinned,
            },
            entries: Vec::new(),
        };
        config.check(&file)?;
        let mut entries = file.entries;
        entries.retain(|entry| !entry.default || config.has_say(entry.key));
        Ok(Config { entries, ..config })
    }

    /// What no section can know by itself.
    fn check(&self, file: &ConfigReader) -> Result<()> {
        let spools = self.archives.iter().any(|archive| archive.spool_enabled);
        if spools && self.global.spool_size_bytes < SMALLEST_PART {
            let said = format!(
                "is {}, and must be at least {SMALLEST_PART}: one part of an upload",
                self.global.spool_size_bytes
            );
            return Err(file.wrong("global.spool_size_bytes", &said));
        }
        self.must_differ(file)?;
        let named = self
            .subvolumes
            .iter()
            .flat_map(|s| s.destinations.iter().flatten());
        for word in named {
            if !self.is_destination(word) {
                let known = self.names();
                let hint = reader::did_you_mean(word, known.iter().map(String::as_str));
                let said = format!("has {word:?}, which no destination is called{hint}");
                return Err(file.wrong("subvolume.destinations", &said));
            }
        }
        Ok(())
    }

    /// No two are in one place, and no two have one name.
    fn must_differ(&self, file: &ConfigReader) -> Result<()> {
        let archives = self.archives.iter().map(ArchiveConfig::location);
        let places = self.destinations.iter().map(|dest| dest.place.to_string());
        let mut seen = HashSet::new();
        let mut is_new = |place: &str| seen.insert(place.trim_end_matches('/').to_owned());
        if let Some(twice) = archives.chain(places).find(|place| !is_new(place)) {
            return Err(file.wrong("destination.location", &format!("names {twice} twice")));
        }
        let archives = self.archives.iter().map(|one| one.name.as_str());
        let places = self.destinations.iter();
        let places = places.filter_map(|dest| dest.name.as_deref());
        // Nothing else is called so, whether or not the section is there.
        let mut seen = HashSet::from([ARCHIVE]);
        let own = usize::from(file.has("s3"));
        let names = archives.skip(own).chain(places);
        match names.into_iter().find(|name| !seen.insert(*name)) {
            Some(name) => {
                let said = format!("is {name:?}, which something else is called");
                Err(file.wrong("destination.name", &said))
            }
            None => Ok(()),
        }
    }

    fn is_destination(&self, word: &str) -> bool {
        self.archives.iter().any(|archive| archive.is_called(word))
            || self.destinations.iter().any(|dest| dest.is_called(word))
    }

    /// What destinations and their groups are called.
    fn names(&self) -> Vec<String> {
        let archives = self.archives.iter();
        let archives = archives.flat_map(|one| [&[one.name.clone()][..], &one.groups].concat());
        let named = |dest: &DestinationConfig| {
            [dest.name.iter().cloned().collect(), dest.groups.clone()].concat()
        };
        archives
            .chain(self.destinations.iter().flat_map(named))
            .collect()
    }

    /// The archives that a subvolume goes to.
    pub fn archives_of(&self, subvolume: &SubvolumeConfig) -> Vec<&ArchiveConfig> {
        let named = subvolume.destinations.as_ref();
        let meant = |archive: &&ArchiveConfig| {
            named.is_none_or(|all| all.iter().any(|word| archive.is_called(word)))
        };
        self.archives.iter().filter(meant).collect()
    }

    /// The further destinations of a subvolume, by their places in the file.
    pub fn destinations_of(&self, subvolume: &SubvolumeConfig) -> Vec<usize> {
        let named = subvolume.destinations.as_ref();
        let meant = |dest: &DestinationConfig| {
            named.is_none_or(|all| all.iter().any(|word| dest.is_called(word)))
        };
        let all = self.destinations.iter().enumerate();
        all.filter(|(_, dest)| meant(dest))
            .map(|(at, _)| at)
            .collect()
    }

    /// How often something of a subvolume is due: its snapshots, and each of its destinations.
    pub fn cycles_of(&self, subvolume: &SubvolumeConfig) -> Vec<Cycle> {
        let archives = self.archives_of(subvolume).into_iter();
        let archives = archives.map(|archive| archive.schedule.cycle());
        let others = self.destinations_of(subvolume).into_iter();
        let others = others.filter_map(|at| self.destinations[at].cycle);
        let all = archives.chain(others).chain(self.cycle_of(subvolume));
        all.collect()
    }

    /// How often a subvolume has a snapshot, whatever its archive needs; `None` if only that counts.
    pub fn cycle_of(&self, subvolume: &SubvolumeConfig) -> Option<Cycle> {
        let usual = self.schedule.cycle();
        let alone = self.archives_of(subvolume).is_empty();
        subvolume.cycle.or(alone.then_some(usual))
    }
}

/// What `[s3]` is called among destinations.
pub const ARCHIVE: &str = "s3";

/// What `[schedule]` and `[snapshots]` say for all subvolumes.
fn usual(file: &mut ConfigReader, schedule: &Schedule) -> Result<subvolumes::Usual> {
    let says_where = file.has_key("snapshots.base_dir");
    let base_dir = file.path("snapshots.base_dir", "/srv/snapshots".into())?;
    let mut usual = Policy::default();
    if !file.has_key("snapshots.keep") && !file.has_key("snapshots.retain") {
        let retain = file.number("snapshots.retain", 2, 1)?;
        usual.newest = usize::try_from(retain).ok();
    }
    let every = subvolumes::every(file, "schedule.every")?;
    let at = schedule.run_at;
    Ok(subvolumes::Usual {
        cycle: every.map(|every| Cycle { every, at }),
        run_at: schedule.run_at,
        base_dir,
        says_where,
        keeps: policy::SNAPSHOTS.read(file, &usual)?,
        pinned: file.texts("snapshots.pinned")?,
        max_age: policy::age(file, "snapshots.max_age")?,
    })
}

fn global(file: &mut ConfigReader, places: &OwnFiles) -> Result<Global> {
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
    let mut days = |key, default| -> Result<Every> {
        let days = file.number(key, default, 1)?;
        // More than the calendar has.
        Ok(Every::days(
            u32::try_from(days.min(DAYS)).unwrap_or(u32::MAX),
        ))
    };
    Ok(Schedule {
        full_every: days("schedule.full_every_days", 180)?,
        incremental_every: days("schedule.incremental_every_days", 7)?,
        run_at: file.time("schedule.run_at", "02:00")?,
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
        receive_unconfined: file.flag("restore.receive_unconfined", false)?,
    })
}

#[cfg(test)]
mod tests;
