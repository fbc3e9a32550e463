//! Every key that there is, how one is shown, and which sections there may be many of. Knows no meaning.

use serde::Serialize;

/// A key as it was understood.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Setting {
    /// `section.key`
    pub key: &'static str,
    /// As TOML would have it.
    pub value: String,
    /// The file does not say it.
    pub default: bool,
}

/// Every key that a file may have.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    [OTHERS, OF_ARCHIVES, OF_SNAPSHOTS]
        .into_iter()
        .flatten()
        .copied()
}

/// Keys of a `[[destination]]` that is an archive.
pub(super) const OF_ARCHIVES: &[&str] = &[
    "destination.full_every",
    "destination.chunk_size_bytes",
    "destination.part_size_bytes",
    "destination.storage_class_manifest",
    "destination.concurrency",
    "destination.spool_enabled",
    "destination.sse",
    "destination.retain_full_chains",
    "destination.retain_days",
];

/// Keys of a `[[destination]]` that keeps snapshots as they are.
pub(super) const OF_SNAPSHOTS: &[&str] = &[
    "destination.keep",
    "destination.retain",
    "destination.keep_min",
    "destination.keep_from",
    "destination.week_starts",
    "destination.keep_hour",
    "destination.require_mount",
    "destination.compare",
    "destination.ssh_options",
];

const OTHERS: &[&str] = &[
    "global.log_level",
    "global.state_path",
    "global.lock_path",
    "global.spool_dir",
    "global.spool_size_bytes",
    "schedule.full_every_days",
    "schedule.incremental_every_days",
    "schedule.run_at",
    "schedule.every",
    "snapshots.base_dir",
    "snapshots.retain",
    "snapshots.keep",
    "snapshots.keep_min",
    "snapshots.keep_from",
    "snapshots.week_starts",
    "snapshots.keep_hour",
    "snapshots.pinned",
    "snapshots.max_age",
    "subvolumes.paths",
    "subvolume.path",
    "subvolume.name",
    "subvolume.exclude",
    "subvolume.snapshots",
    "subvolume.destinations",
    "subvolume.every",
    "subvolume.at",
    "subvolume.keep",
    "subvolume.keep_min",
    "subvolume.keep_from",
    "subvolume.week_starts",
    "subvolume.keep_hour",
    "subvolume.retain",
    "subvolume.pinned",
    "subvolume.max_age",
    "subvolume.on_change",
    "subvolume.always",
    "subvolume.noauto",
    "s3.bucket",
    "s3.region",
    "s3.prefix",
    "s3.endpoint_url",
    "s3.chunk_size_bytes",
    "s3.part_size_bytes",
    "s3.storage_class_chunks",
    "s3.storage_class_manifest",
    "s3.concurrency",
    "s3.spool_enabled",
    "s3.sse",
    "s3.retain_full_chains",
    "s3.retain_days",
    "s3.max_age",
    "s3.verify",
    "destination.location",
    "destination.kind",
    "destination.name",
    "destination.groups",
    "destination.every",
    "destination.at",
    "destination.max_age",
    "destination.verify",
    "destination.bwlimit_bytes",
    "destination.storage_class",
    "destination.region",
    "destination.endpoint_url",
    "destination.profile",
    "notify.command",
    "notify.always",
    "notify.ping",
    "notify.ping_snapshot",
    "notify.ping_send",
    "notify.ping_prune",
    "notify.timeout_seconds",
    "hooks.before",
    "hooks.after",
    "hooks.timeout_seconds",
    "restore.target_base_dir",
    "restore.verify_mode",
    "restore.sample_max_files",
    "restore.wait_for_restore",
    "restore.restore_timeout_seconds",
    "restore.restore_tier",
    "restore.receive_with",
    "restore.receive_unconfined",
];

/// What only a file of root's may say: programs that are run, and that foreign streams are received where they
/// could write anywhere.
pub(super) const OF_ROOT: &[&str] = &[
    "hooks.before",
    "hooks.after",
    "notify.command",
    "restore.receive_unconfined",
];

/// Options of ssh name programs too. Who is not root harms only himself by his own file.
pub(super) const OF_ROOT_FOR_ROOT: &str = "destination.ssh_options";

/// The sections that there may be many of.
pub(super) const MANY: &[&str] = &["destination", "subvolume"];
