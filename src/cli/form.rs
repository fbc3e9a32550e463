//! What `buttersink` can be told to do. Each form has options of its own; the table says which, for some groups of
//! them at once.

use Form::*;

/// A command, in one of the ways in which it is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// `sync SRC DST`
    Sync,
    /// `sync --resend NAME SRC DST`
    Resend,
    /// `list LOCATION`
    List,
    /// `list --config FILE`
    ListConfig,
    /// `clean LOCATION`
    Clean,
    /// `clean --config FILE --backup NAME/TIME`
    CleanBackup,
    /// `prune LOCATION`
    Prune,
    /// `prune --config FILE`
    PruneConfig,
    /// `snapshot SUBVOLUME`
    Snapshot,
    /// `snapshot --config FILE`
    SnapshotConfig,
    /// `send --config FILE`
    Send,
    /// `adopt LOCATION [NAME...]`
    Adopt,
    /// `verify LOCATION`
    Verify,
    /// `verify --config FILE`
    VerifyConfig,
    /// `backup SUBVOLUME DEST...`
    Backup,
    /// `backup --config FILE`
    BackupConfig,
    /// `status --config FILE`
    Status,
    /// `restore`
    Restore,
    /// `config init`
    InitConfig,
    /// `config import [FILE]`
    ImportConfig,
    /// `config check FILE`
    CheckConfig,
    /// `--server DIR`
    Server,
}

/// What the exit status means, of most commands.
pub(super) const EXIT: &[(u8, &str)] = &[
    (0, "all done"),
    (1, "failed"),
    (2, "usage or configuration"),
    (3, "another run holds the lock, nothing done"),
    (4, "verification found a difference"),
    (10, "some tasks failed, others done"),
    (130, "interrupted"),
];

/// What prints results.
pub(super) const ALL: &[Form] = &[
    Sync,
    Resend,
    List,
    ListConfig,
    Clean,
    CleanBackup,
    Prune,
    Adopt,
    Verify,
    VerifyConfig,
    Backup,
    BackupConfig,
    PruneConfig,
    Snapshot,
    SnapshotConfig,
    Send,
    Restore,
    Status,
];
/// What moves data.
pub(super) const MOVING: &[Form] = &[
    Sync,
    Resend,
    Verify,
    VerifyConfig,
    Backup,
    BackupConfig,
    Send,
    Restore,
];
/// What opens locations, which may be on other machines.
pub(super) const FAR: &[Form] = &[
    Sync,
    Resend,
    List,
    Clean,
    Prune,
    Adopt,
    Verify,
    Backup,
    BackupConfig,
    PruneConfig,
    Send,
];
/// What uses buckets.
pub(super) const BUCKETS: &[Form] = &[
    Sync,
    Resend,
    List,
    ListConfig,
    Clean,
    CleanBackup,
    Prune,
    Adopt,
    Verify,
    VerifyConfig,
    Backup,
    BackupConfig,
    PruneConfig,
    Send,
    Restore,
    CheckConfig,
];
/// What can write a log.
pub(super) const LOGGED: &[Form] = &[
    Sync,
    Resend,
    List,
    ListConfig,
    Clean,
    CleanBackup,
    Prune,
    Adopt,
    Verify,
    VerifyConfig,
    Backup,
    BackupConfig,
    PruneConfig,
    Snapshot,
    SnapshotConfig,
    Send,
    Restore,
    CheckConfig,
];
/// What has no number of requests in its configuration file, or takes it from the command line first.
pub(super) const PARALLEL: &[Form] = &[
    Sync,
    List,
    ListConfig,
    Clean,
    CleanBackup,
    Prune,
    Adopt,
    Verify,
    VerifyConfig,
    Backup,
    Restore,
];
