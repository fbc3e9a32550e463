//! What `buttersink` can be told to do. Each form has options of its own; the table says which.

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
