//! What `buttersink` can be told to do. Each form has options of its own; the table says which, for some groups of
//! them at once.

use super::grammar::Usage;
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

/// The form of a command that does what a configuration file says.
pub(super) const fn with_config(form: Form) -> Usage<Form> {
    Usage::when("config", form, "[options] --config FILE", (0, 0))
}

/// What does or shows something, and makes no file for people.
const WORKING: &[Form] = &[
    Sync,
    Resend,
    List,
    ListConfig,
    Clean,
    CleanBackup,
    Prune,
    PruneConfig,
    Snapshot,
    SnapshotConfig,
    Send,
    Adopt,
    Verify,
    VerifyConfig,
    Backup,
    BackupConfig,
    Status,
    Restore,
    CheckConfig,
];
/// What prints results, of which one can want less.
pub(super) const ALL: &[Form] = &without::<18>(WORKING, &[CheckConfig]);
/// What can write a log.
pub(super) const LOGGED: &[Form] = &without::<18>(WORKING, &[Status]);
/// What uses buckets.
pub(super) const BUCKETS: &[Form] = &without::<16>(LOGGED, &[Snapshot, SnapshotConfig]);
/// What opens locations, which may be on other machines.
pub(super) const FAR: &[Form] = &without::<11>(
    BUCKETS,
    &[ListConfig, CleanBackup, VerifyConfig, Restore, CheckConfig],
);
/// What has no number of requests in its configuration file, or takes it from the command line first.
pub(super) const PARALLEL: &[Form] = &without::<11>(
    BUCKETS,
    &[Resend, PruneConfig, Send, BackupConfig, CheckConfig],
);
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

/// The `N` forms of a group that are left without some. It does not compile if there are more or fewer.
const fn without<const N: usize>(group: &[Form], some: &[Form]) -> [Form; N] {
    let mut left = [Sync; N];
    let (mut at, mut kept) = (0, 0);
    while at < group.len() {
        let (mut other, mut stays) = (0, true);
        while other < some.len() {
            stays &= group[at] as u8 != some[other] as u8;
            other += 1;
        }
        if stays {
            left[kept] = group[at];
            kept += 1;
        }
        at += 1;
    }
    assert!(kept == N);
    left
}
