//! The options of `buttersink` as they were given, each under its own name. What holds where one was
//! not given is decided by who reads it.

use super::grammar::usage;
use crate::archive::Tier;
use crate::backup::config::{Level, VerifyMode};
use crate::backup::retention::Policy;
use crate::error::Result;
use crate::progress::Verbosity;
use crate::store::{Access, Checksum, Concurrency, ReceiveWith, Sse};
use jiff::{SignedDuration, Timestamp};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// All of them; a command has only those that the table gives it.
#[derive(Clone, Default, Debug)]
pub(super) struct Options {
    pub(super) dry_run: bool,
    pub(super) delete: bool,
    pub(super) estimate: bool,
    pub(super) whole: bool,
    pub(super) one_by_one: bool,
    pub(super) allow_empty: bool,
    pub(super) compare: bool,
    pub(super) resend: Vec<PathBuf>,
    pub(super) exclude: Vec<OsString>,
    pub(super) commands: bool,
    pub(super) sort: Option<String>,
    pub(super) tree: bool,
    pub(super) columns: Vec<String>,
    pub(super) config: Option<PathBuf>,
    pub(super) backup: Option<String>,
    pub(super) prometheus: Option<PathBuf>,
    pub(super) older_than: Option<SignedDuration>,
    pub(super) as_subvolume: Option<PathBuf>,
    pub(super) yes: bool,
    pub(super) take_over: bool,
    pub(super) offline: bool,
    pub(super) write: bool,
    // How stores are verified.
    pub(super) quick: bool,
    pub(super) download: bool,
    pub(super) against: Option<OsString>,
    pub(super) content: bool,
    pub(super) changed: bool,
    pub(super) drill: bool,
    pub(super) sample: Option<usize>,
    pub(super) scratch: Option<PathBuf>,
    // What is backed up, and what is kept.
    pub(super) always: bool,
    pub(super) keep: Option<Policy>,
    pub(super) keep_min: Option<SignedDuration>,
    pub(super) num_backups: Option<usize>,
    pub(super) num_snapshots: Option<usize>,
    pub(super) require_mount: bool,
    pub(super) create: bool,
    pub(super) snapshot_folder: Option<PathBuf>,
    pub(super) snapshot_prefix: Option<OsString>,
    pub(super) subvolume: Vec<String>,
    pub(super) destination: Option<String>,
    pub(super) once: bool,
    pub(super) no_s3: bool,
    pub(super) log_level: Option<Level>,
    pub(super) debug: bool,
    // What is restored.
    pub(super) target: Option<PathBuf>,
    pub(super) at: Option<Timestamp>,
    pub(super) snapshot: Option<String>,
    pub(super) manifest_key: Option<String>,
    pub(super) verify: Option<VerifyMode>,
    pub(super) wait_restore: Option<bool>,
    pub(super) restore_timeout: Option<usize>,
    pub(super) restore_tier: Option<Tier>,
    // What is said, and at whose cost.
    pub(super) quiet: u8,
    pub(super) logfile: Option<PathBuf>,
    pub(super) transaction_log: Option<PathBuf>,
    pub(super) json: bool,
    pub(super) full_speed: bool,
    pub(super) compressed_data: bool,
    pub(super) receive_with: Option<ReceiveWith>,
    pub(super) receive_unconfined: bool,
    pub(super) bwlimit: Option<u64>,
    // How far sides are reached.
    pub(super) ssh_command: Option<OsString>,
    pub(super) ssh_option: Vec<OsString>,
    pub(super) remote_sudo: Option<OsString>,
    pub(super) remote_command: Option<OsString>,
    // How buckets are reached and used.
    pub(super) endpoint_url: Option<String>,
    pub(super) region: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) s3_quirks: Option<String>,
    pub(super) concurrency: Option<Concurrency>,
    pub(super) part_size: Option<u64>,
    pub(super) checksum: Option<Checksum>,
    pub(super) sse: Option<Sse>,
    pub(super) storage_class: Option<String>,
    pub(super) max_chain: Option<usize>,
    // What a server grants, and to whom.
    pub(super) mode: Option<Access>,
    pub(super) as_client: Option<OsString>,
    pub(super) strict: bool,
    pub(super) max_bytes: Option<u64>,
    pub(super) max_snapshots: Option<u64>,
}

impl Options {
    /// The configuration file, which was given or is missing.
    pub(super) fn file(&self) -> Result<&Path> {
        let file = self.config.as_deref();
        file.ok_or_else(|| usage("buttersink", "it lacks --config FILE"))
    }

    /// How many diffs in a bucket may make a snapshot.
    pub(super) fn max_chain(&self) -> usize {
        self.max_chain.unwrap_or(30)
    }

    pub(super) fn verbosity(&self) -> Verbosity {
        match self.quiet {
            0 => Verbosity::Full,
            1 => Verbosity::Results,
            _ => Verbosity::Errors,
        }
    }
}
