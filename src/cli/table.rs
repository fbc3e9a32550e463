//! The commands and options of `buttersink`: one table, which parsing, help, completions, refusals and
//! the check of the man pages follow. What a command does stands in its own file.

use super::form::Form::{self, *};
use super::form::{ALL, BUCKETS, FAR, LOGGED, MOVING, PARALLEL};
use super::grammar::Hint::{Directory, File, OneOf, Profile, SnapshotName, SubvolumeName};
use super::grammar::{Opt, Program, Section};
use super::options::Options;
use super::values::{add, put};
use super::{
    adopt, backup, clean, config, list, prune, restore, send, server, snapshot, status, sync,
    verify,
};
use crate::backup::config::{LEVELS, STORAGE_CLASSES, VERIFY_MODES};
use crate::report::ORDERS;

pub(super) const PROGRAM: Program<Options, Form> = Program {
    name: "buttersink",
    about: ABOUT,
    commands: &[
        sync::COMMAND,
        list::COMMAND,
        backup::COMMAND,
        snapshot::COMMAND,
        send::COMMAND,
        restore::COMMAND,
        verify::COMMAND,
        clean::COMMAND,
        prune::COMMAND,
        adopt::COMMAND,
        status::COMMAND,
        config::COMMAND,
        config::init::COMMAND,
        config::import::COMMAND,
        config::check::COMMAND,
        server::COMMAND,
    ],
    sections: &[
        Section {
            title: "options",
            options: OWN,
        },
        Section {
            title: "output and speed",
            options: OUTPUT,
        },
        Section {
            title: "other machines",
            options: SSH,
        },
        Section {
            title: "buckets",
            options: S3,
        },
    ],
    implied: |words| match words {
        1 => Some("list"),
        2 => Some("sync"),
        _ => None,
    },
};

const ABOUT: &str = "\
buttersink synchronises btrfs snapshots, makes and restores backups, and looks at them again.

usage: buttersink COMMAND [options] ...        buttersink COMMAND --help tells more
       buttersink [options] SRC DST            the same as sync
       buttersink [options] LOCATION           the same as list

locations:
  [btrfs://|file://]/path/to/directory/[snapshot]
  ssh://[user@]host[:port]/path/to/directory/[snapshot]
  s3://bucket/prefix/[snapshot]
  raw:/path/to/directory/[snapshot]       on any filesystem; raw+ssh:// on another machine
  The slash at the end matters: with it all snapshots in the directory, without it (SRC only) the
  one snapshot. A destination is always a directory.
";

type Row = Opt<Options, Form>;
type Table = &'static [Row];

/// What makes the commands different.
const OWN: Table = &[
    Row::flag("dry-run", |o| o.dry_run = true)
        .short('n')
        .help("show what would be done, with exact sizes, and do nothing")
        .of(&[Sync, Resend, List, Clean, CleanBackup, Prune, PruneConfig, Adopt, Backup, BackupConfig, Snapshot, SnapshotConfig, Send,
              Restore]),
    Row::flag("delete", |o| o.delete = true)
        .short('d')
        .help("after everything arrived, delete snapshots of DST that SRC does not have, of the \
               subvolumes that SRC has snapshots of")
        .of(&[Sync]),
    Row::flag("delete", |o| o.delete = true)
        .short('d')
        .help("remove what interrupted transfers left (not backups)")
        .of(&[List]),
    Row::flag("estimate", |o| o.estimate = true)
        .short('e')
        .help("plan with guessed sizes, without measuring")
        .of(&[Sync]),
    Row::flag("whole", |o| o.whole = true)
        .help("send every snapshot whole, and none as the difference from another")
        .of(&[Sync, Backup]),
    Row::flag("one-by-one", |o| o.one_by_one = true)
        .help("make each snapshot durable for itself, and not many small ones together")
        .of(&[Sync]),
    Row::flag("allow-empty", |o| o.allow_empty = true)
        .help("a SRC without snapshots is no failure")
        .of(&[Sync]),
    Row::flag("compare", |o| o.compare = true)
        .help("read what arrived, on both sides, before it counts as sent")
        .of(&[Sync, Backup]),
    Row::value("resend", "NAME", |o, v| add(&mut o.resend, v.path()))
        .hint(SnapshotName)
        .help("replace this copy in DST, and nothing else: it is sent again, compared and exchanged \
               (may be repeated)")
        .of(&[Resend]),
    Row::value("exclude", "PATTERN", |o, v| add(&mut o.exclude, v.raw()))
        .help("leave alone the snapshots whose name matches (may be repeated)")
        .of(&[Sync, List, Clean, Prune]),
    Row::value("config", "FILE", |o, v| put(&mut o.config, v.path()))
        .hint(File)
        .help("the backups of a configuration file; see buttersink.conf(5)")
        .of(&[ListConfig, CleanBackup, VerifyConfig, BackupConfig, PruneConfig,
              SnapshotConfig, Send, Restore, Status]),
    Row::value("prometheus", "FILE", |o, v| put(&mut o.prometheus, v.path()))
        .hint(File)
        .help("also write it for the text collector of a node exporter")
        .of(&[Status]),
    Row::flag("commands", |o| o.commands = true)
        .help("how each stream in a bucket is received by hand")
        .of(&[List, ListConfig]),
    Row::value("sort", "ORDER", |o, v| put(&mut o.sort, v.text()))
        .hint(OneOf(ORDERS))
        .help("by time (as it is), name, size, own, stored, chain, total, class or state; -ORDER from \
               the end")
        .of(&[List, ListConfig]),
    Row::flag("tree", |o| o.tree = true)
        .help("each below what it descends from, in a bucket what it builds on, with bars of sizes")
        .of(&[List, ListConfig]),
    Row::value("columns", "NAMES", |o, v| add(&mut o.columns, v.text()))
        .short('o')
        .help("show these columns, by their titles: name,created,size")
        .of(&[List, ListConfig]),
    Row::value("older-than", "AGE", |o, v| put(&mut o.older_than, v.age()))
        .help("what is younger stays: 0, 90m, 12h, 3d, 2w (in buckets 1d, else 0)")
        .of(&[Clean]),
    Row::value("backup", "NAME/TIME", |o, v| put(&mut o.backup, v.text()))
        .help("delete this backup, as they are listed; no other may build on it")
        .of(&[CleanBackup]),
    Row::value("as", "SUBVOLUME", |o, v| put(&mut o.as_subvolume, v.path()))
        .hint(Directory)
        .help("what the snapshots are of")
        .of(&[Adopt]),
    Row::flag("yes", |o| o.yes = true).help("do it; else it is only shown").of(&[Adopt]),
    Row::flag("take-over", |o| o.take_over = true)
        .help("also what is another machine's, which has moved here")
        .of(&[Adopt]),
    Row::flag("offline", |o| o.offline = true).help("do not ask the bucket").of(&[CheckConfig]),
    Row::flag("write", |o| o.write = true)
        .help("write one small object to the bucket, and remove it again")
        .of(&[CheckConfig]),
    Row::flag("quick", |o| o.quick = true)
        .help("by what is recorded, without reading data (the default)")
        .of(&[Verify, VerifyConfig]),
    Row::flag("download", |o| o.download = true)
        .help("also read every object: each command's checksum, and the SHA-256")
        .of(&[Verify, VerifyConfig]),
    Row::value("against", "OTHER", |o, v| put(&mut o.against, v.raw()))
        .hint(Directory)
        .help("both have the same snapshots; if LOCATION is a bucket and OTHER is not, make the \
               streams of OTHER again and compare their checksums with those that the service has, so \
               that nothing need be downloaded")
        .of(&[Verify]),
    Row::flag("content", |o| o.content = true)
        .help("with --against, neither a bucket: compare the files of both, content and metadata; \
               over ssh each side reads its own")
        .of(&[Verify]),
    Row::flag("changed", |o| o.changed = true)
        .help("with --content: only what each snapshot has other than its parent")
        .of(&[Verify]),
    Row::flag("drill", |o| o.drill = true)
        .help("rehearse what is stored in a bucket: whether it can be received")
        .of(&[Verify, VerifyConfig]),
    Row::value("sample", "N", |o, v| put(&mut o.sample, v.number()))
        .help("with --drill: only N chains that are drawn at random")
        .of(&[Verify, VerifyConfig]),
    Row::value("scratch", "DIR", |o, v| put(&mut o.scratch, v.path()))
        .hint(Directory)
        .help("with --drill: receive it, in a subvolume that is removed again")
        .of(&[Verify, VerifyConfig]),
    Row::flag("always", |o| o.always = true)
        .help("make a snapshot even if nothing changed")
        .of(&[Backup, Snapshot]),
    Row::value("subvolume", "NAME", |o, v| add(&mut o.subvolume, v.text()))
        .hint(SubvolumeName)
        .help("only the backups of this name (may be repeated)")
        .of(&[BackupConfig, PruneConfig, SnapshotConfig, Send]),
    Row::flag("once", |o| o.once = true).help("also what is not due").of(&[BackupConfig, SnapshotConfig, Send]),
    Row::flag("no-s3", |o| o.no_s3 = true)
        .help("make the snapshot only, and send nothing")
        .of(&[BackupConfig]),
    Row::value("log-level", "LEVEL", |o, v| put(&mut o.log_level, v.one_of(LEVELS)))
        .hint(OneOf(&["debug", "info", "warning", "error", "critical"]))
        .help("debug, info, warning, error or critical")
        .of(&[BackupConfig, SnapshotConfig, Send]),
    Row::value("keep", "POLICY", |o, v| put(&mut o.keep, v.policy()))
        .help("keep, where backups arrive, the newest of so many hours, days, weeks, months and \
               years: '24h 7d 4w 12m 2y'")
        .of(&[Backup, Prune]),
    Row::value("num-backups", "N", |o, v| put(&mut o.num_backups, v.number()))
        .help("keep, where backups arrive, the newest N")
        .of(&[Backup, Prune]),
    Row::value("keep-min", "AGE", |o, v| put(&mut o.keep_min, v.snapshot_age()))
        .help("keep, whatever the others say, what arrived since: 12h, 30d, 2w")
        .of(&[Backup, Prune]),
    Row::value("num-snapshots", "N", |o, v| put(&mut o.num_snapshots, v.number()))
        .help("keep in SUBVOLUME/snapshot/ the newest N")
        .of(&[Backup]),
    Row::flag("latest-only", |o| o.num_snapshots = Some(1))
        .help("keep in SUBVOLUME/snapshot/ only the newest")
        .of(&[Backup]),
    Row::flag("require-mount", |o| o.require_mount = true)
        .help("refuse a place on this machine that no filesystem is mounted for")
        .of(&[Sync, Backup]),
    Row::flag("create", |o| o.create = true)
        .help("make a DST on this machine that is not there")
        .of(&[Sync, Backup]),
    Row::value("snapshot-folder", "DIR", |o, v| put(&mut o.snapshot_folder, v.path()))
        .hint(Directory)
        .help("DIR instead of 'snapshot', relative to SUBVOLUME")
        .of(&[Backup, Snapshot]),
    Row::value("snapshot-prefix", "PREFIX", |o, v| put(&mut o.snapshot_prefix, v.raw()))
        .help("names of snapshots begin with PREFIX")
        .of(&[Backup, Snapshot]),
    Row::flag("debug", |o| o.debug = true)
        .short('d')
        .help("the debug log on standard error")
        .of(&[Backup, BackupConfig, SnapshotConfig, Send]),
    Row::value("subvolume", "NAME", |o, v| add(&mut o.subvolume, v.text()))
        .hint(SubvolumeName)
        .help("the backups of this name")
        .of(&[Restore]),
    Row::value("destination", "NAME", |o, v| put(&mut o.destination, v.text()))
        .help("the archive of this name in the file")
        .of(&[ListConfig, CleanBackup, VerifyConfig, Restore]),
    Row::value("target", "PATH", |o, v| put(&mut o.target, v.path()))
        .hint(Directory)
        .help("where to")
        .of(&[Restore]),
    Row::value("at", "TIME", |o, v| put(&mut o.at, v.moment()))
        .help("the newest that was made then or before: '2026-11-21', '2026-11-21 14:00' in local \
               time, 2026-11-21T14:00:00Z or 20261121T140000Z")
        .of(&[Restore]),
    Row::value("snapshot", "NAME", |o, v| put(&mut o.snapshot, v.text()))
        .help("that of the snapshot NAME")
        .of(&[Restore]),
    Row::value("manifest-key", "KEY", |o, v| put(&mut o.manifest_key, v.text()))
        .help("the one whose manifest has this key")
        .of(&[Restore]),
    Row::value("verify", "MODE", |o, v| put(&mut o.verify, v.one_of(VERIFY_MODES)))
        .hint(OneOf(&["full", "sample", "none"]))
        .help("compare with the source snapshot, if that is on this machine: full, sample or none")
        .of(&[Restore]),
    Row::flag("wait-restore", |o| o.wait_restore = Some(true))
        .help("wait until frozen objects are thawed")
        .of(&[Sync, Restore]),
    Row::flag("no-wait-restore", |o| o.wait_restore = Some(false))
        .help("only ask for it, and exit with 10")
        .of(&[Sync, Restore]),
    Row::value("restore-timeout", "S", |o, v| put(&mut o.restore_timeout, v.number()))
        .help("wait no longer than so many seconds")
        .of(&[Sync, Restore]),
    Row::value("restore-tier", "T", |o, v| put(&mut o.restore_tier, v.parsed()))
        .hint(OneOf(&["Standard", "Bulk", "Expedited"]))
        .help("thaw by Standard, Bulk or Expedited")
        .of(&[Sync, Restore]),
    Row::value("mode", "r|p|a|w", |o, v| put(&mut o.mode, v.access()))
        .hint(OneOf(&["r", "p", "a", "w"]))
        .help("r to read, p to add, a for both, w also to delete")
        .of(&[Server]),
    Row::value("as", "NAME", |o, v| put(&mut o.as_client, v.raw()))
        .help("what the system log calls the client")
        .of(&[Server]),
    Row::flag("strict", |o| o.strict = true)
        .help("refuse a DIR in which others could use what is received")
        .of(&[Server]),
    Row::value("max-bytes", "N", |o, v| put(&mut o.max_bytes, v.size()))
        .help("take no more bytes of streams by this key")
        .of(&[Server]),
    Row::value("max-snapshots", "N", |o, v| put(&mut o.max_snapshots, v.number().map(|n| n as u64)))
        .help("take no more snapshots by this key")
        .of(&[Server]),
    Row::for_help(),
    Row::for_version(),
];

/// How much is said, where, and at whose cost.
const OUTPUT: Table = &[
    Row::flag("quiet", |o| o.quiet = o.quiet.saturating_add(1))
        .short('q')
        .help("once: no progress; twice: errors only")
        .of(ALL),
    Row::value("logfile", "FILE", |o, v| put(&mut o.logfile, v.path()))
        .short('l')
        .hint(File)
        .help("append a debug log to FILE")
        .of(LOGGED),
    Row::value("transaction-log", "FILE", |o, v| {
        put(&mut o.transaction_log, v.path())
    })
    .hint(File)
    .help("append a line for each change to FILE")
    .of(ALL),
    Row::flag("json", |o| o.json = true)
        .help("results as JSON, one object a line")
        .of(ALL),
    Row::flag("json", |o| o.json = true)
        .help("one JSON object for all files, at the end")
        .of(&[CheckConfig]),
    Row::flag("full-speed", |o| o.full_speed = true)
        .help("do not yield to other programs")
        .of(MOVING),
    Row::flag("compressed-data", |o| o.compressed_data = true)
        .help("send compressed extents as they are (sizes in plans are then upper bounds)")
        .of(&[Sync, Resend, Backup, BackupConfig, Send]),
    Row::flag("compressed-data", |o| o.compressed_data = true)
        .help("the streams were uploaded with this option")
        .of(&[Verify]),
    Row::value("receive-with", "WAY", |o, v| {
        put(&mut o.receive_with, v.parsed())
    })
    .hint(OneOf(&["builtin", "btrfs"]))
    .help("how btrfs filesystems receive: 'btrfs', or by ourselves ('builtin')")
    .of(&[Sync, Resend, Backup, BackupConfig, Send, Restore, Server]),
    Row::flag("receive-unconfined", |o| o.receive_unconfined = true)
        .help("receive also where 'btrfs receive' cannot be kept to its filesystem")
        .of(&[Sync, Resend, Restore, Server]),
    Row::value("bwlimit", "RATE", |o, v| put(&mut o.bwlimit, v.rate()))
        .help("send and receive no faster: KiB per second, or with a unit: 500, 10M")
        .of(MOVING),
];

/// How far sides are reached.
const SSH: Table = &[
    Row::value("ssh-command", "CMD", |o, v| {
        put(&mut o.ssh_command, v.raw())
    })
    .help("CMD instead of 'ssh', with arguments (also BUTTERSINK_SSH)")
    .of(FAR),
    Row::value("ssh-option", "OPT", |o, v| add(&mut o.ssh_option, v.raw()))
        .help("'ssh -o OPT' (may be repeated)")
        .of(FAR),
    Row::value("remote-sudo", "CMD", |o, v| {
        put(&mut o.remote_sudo, v.raw())
    })
    .help("become root at the far side with CMD instead of 'sudo'; '' for not at all")
    .of(FAR),
    Row::value("remote-command", "CMD", |o, v| {
        put(&mut o.remote_command, v.raw())
    })
    .help("CMD instead of 'buttersink' at the far side")
    .of(FAR),
];

/// How buckets are reached and used.
const S3: Table = &[
    Row::value("endpoint-url", "URL", |o, v| {
        put(&mut o.endpoint_url, v.text())
    })
    .help("an S3 service other than AWS (also AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL)")
    .of(BUCKETS),
    Row::value("region", "NAME", |o, v| put(&mut o.region, v.text()))
        .help("the bucket's region (also AWS_REGION)")
        .of(BUCKETS),
    Row::value("profile", "NAME", |o, v| put(&mut o.profile, v.text()))
        .hint(Profile)
        .help("the profile in the AWS configuration files (also AWS_PROFILE)")
        .of(BUCKETS),
    Row::value("s3-quirks", "NAMES", |o, v| put(&mut o.s3_quirks, v.text()))
        .help("what the service cannot do; see buttersink-s3(5)")
        .of(BUCKETS),
    Row::value("concurrency", "N", |o, v| {
        put(&mut o.concurrency, v.parsed())
    })
    .hint(OneOf(&["auto"]))
    .short('j')
    .help("requests at the same time (4, or what the file says), or auto")
    .of(PARALLEL),
    Row::value("part-size", "SIZE", |o, v| {
        put(&mut o.part_size, v.part_size())
    })
    .help("size of the parts of an upload, in MiB or with a unit: 64, 64M, 1G")
    .of(&[Sync, Backup, BackupConfig, Send]),
    Row::value("checksum", "NAME", |o, v| put(&mut o.checksum, v.parsed()))
        .hint(OneOf(&["md5", "crc32c", "sha256"]))
        .help("what the service checks parts by: md5, crc32c or sha256")
        .of(&[Sync, Backup, BackupConfig, Send]),
    Row::value("sse", "WHAT", |o, v| put(&mut o.sse, v.parsed()))
        .hint(OneOf(&["none", "AES256", "aws:kms"]))
        .help("encryption at the service: none, AES256, aws:kms or aws:kms:KEY")
        .of(&[Sync, Adopt, Backup]),
    Row::value("storage-class", "C", |o, v| {
        put(&mut o.storage_class, v.text())
    })
    .hint(OneOf(STORAGE_CLASSES))
    .help("the storage class of uploads")
    .of(&[Sync, Backup]),
    Row::value("max-chain", "N", |o, v| put(&mut o.max_chain, v.number()))
        .help("at most N diffs in a bucket to make one snapshot of (30)")
        .of(&[Sync, Backup]),
];
