//! What of btrbk's options has no counterpart, and what is so instead. A table.

use super::NoCounterpart;
use super::lines::Entry;

/// Options by how they begin, values of them that ask for nothing, and what is so here.
const NONE: &[(&str, &[&str], &str)] = &[
    (
        "timestamp_format",
        &[],
        "snapshots are called NAME__TIME__KIND, in UTC, to the second",
    ),
    (
        "incremental",
        &["yes", "mountpoint"],
        "the cheapest way is measured; a parent need not be told, nor forbidden",
    ),
    ("stream_buffer", &["no"], "it reads ahead by itself"),
    (
        "stream_compress",
        &["no", "default"],
        "streams go as they are; ssh_options = [\"Compression=yes\"] compresses on the way",
    ),
    (
        "rate_limit_remote",
        &["no"],
        "bwlimit_bytes of a destination limits what this machine sends",
    ),
    (
        "transaction_log",
        &["no"],
        "it is an option of commands: --transaction-log FILE",
    ),
    (
        "transaction_syslog",
        &["no"],
        "the journal has what runs print; --transaction-log FILE writes changes",
    ),
    (
        "backend",
        &["no", "btrfs-progs"],
        "it needs no other program here; on other machines it runs as sudo buttersink",
    ),
    (
        "compat",
        &["no"],
        "it uses no shell and no tools on the other side",
    ),
    ("btrfs_commit_delete", &["no"], "there is no such choice"),
    (
        "snapshot_qgroup_destroy",
        &["no"],
        "quota groups are left alone",
    ),
    (
        "target_qgroup_destroy",
        &["no"],
        "quota groups are left alone",
    ),
    (
        "archive_",
        &["no"],
        "nothing is archived by a file: buttersink sync copies, buttersink prune DIR --keep POLICY lets go",
    ),
    ("raw_target_encrypt", &["no"], "nothing is encrypted here"),
    (
        "raw_target_",
        &["no", "default"],
        "streams are stored as they are",
    ),
    ("gpg_", &[], "nothing is encrypted here"),
    ("openssl_", &["no"], "nothing is encrypted here"),
    ("kdf_", &["no"], "nothing is encrypted here"),
    (
        "warn_unknown_targets",
        &["no"],
        "what is not known to be ours is shown, counted and kept in any case",
    ),
    ("cache_dir", &[], "nothing is cached"),
    (
        "ignore_extent_data_inline",
        &["yes"],
        "btrfslist --sizes counts what there is",
    ),
    ("safe_commands", &["no"], "there is no such choice"),
    ("receive_log", &["no"], "there is no such file"),
    ("resume_missing", &["yes"], "what is missing is always sent"),
    ("btrfs_progs_compat", &["no"], "there is no such choice"),
    (
        "snapshot_create_always",
        &["yes"],
        "there is one whenever it is time",
    ),
    (
        "snapshot_preserve_",
        &[],
        "btrbk itself keeps everything with it and sends nothing; snapshot_preserve is its successor",
    ),
    (
        "target_preserve_",
        &[],
        "btrbk itself keeps everything with it and sends nothing; target_preserve is its successor",
    ),
];

/// What is understood, or spoken of where it is used.
const KNOWN: &[&str] = &[
    "snapshot_dir",
    "snapshot_name",
    "snapshot_create",
    "preserve_day_of_week",
    "preserve_hour_of_day",
    "snapshot_preserve",
    "snapshot_preserve_min",
    "target_preserve",
    "target_preserve_min",
    "ssh_identity",
    "ssh_user",
    "ssh_port",
    "ssh_compression",
    "ssh_cipher_spec",
    "rate_limit",
    "lockfile",
    "group",
    "noauto",
];

/// What is to be said of an option, if anything.
pub(super) fn remark(entry: &Entry) -> Option<NoCounterpart> {
    if KNOWN.contains(&entry.key.as_str()) {
        return None;
    }
    let found = NONE
        .iter()
        .find(|(begins, ..)| entry.key.starts_with(begins));
    let (_, idle, why) = found.unwrap_or(&("", &[], "it is none of the options that we know"));
    (!idle.contains(&entry.value.as_str())).then(|| without(entry, *why))
}

/// A line that we cannot follow.
pub(super) fn without(entry: &Entry, why: impl Into<String>) -> NoCounterpart {
    NoCounterpart {
        line: entry.line,
        what: format!("{} {}", entry.key, entry.value),
        why: why.into(),
    }
}
