//! What `buttersink --help` prints, and what the helps of several commands have in common, once
//! each: macros, since `concat!` takes nothing but literals. Commands with help of their own keep it
//! beside them.

/// How much is said, where, and at whose cost.
macro_rules! common {
    () => {
        "  -q, --quiet            once: no progress; twice: errors only
  -l, --logfile FILE     append a debug log to FILE
      --json             results as JSON, one object a line
      --full-speed       do not yield to other programs
"
    };
}

/// How far sides are reached.
macro_rules! ssh {
    () => {
        "      --ssh-command CMD  CMD instead of 'ssh', with arguments (also BUTTERSINK_SSH)
      --ssh-option OPT   'ssh -o OPT' (may be repeated)
      --remote-sudo CMD  become root at the far side with CMD instead of 'sudo'; '' for not at all
      --remote-command CMD
                         CMD instead of 'buttersink' at the far side
"
    };
}

/// How buckets are reached and used.
macro_rules! s3 {
    () => {
        "      --endpoint-url URL an S3 service other than AWS (also AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL)
      --region NAME      the bucket's region (also AWS_REGION)
      --profile NAME     the profile in the AWS configuration files (also AWS_PROFILE)
  -j, --concurrency N    requests at the same time in one transfer (4)
      --part-size SIZE   size of the parts of an upload, in MiB or with a unit: 64, 64M, 1G
      --checksum NAME    what the service checks parts by: md5, crc32c or sha256
      --sse WHAT         encryption at the service: none, AES256, aws:kms or aws:kms:KEY
      --storage-class C  the storage class of uploads
      --max-chain N      at most N diffs in a bucket to make one snapshot of (30)
      --s3-quirks NAMES  what the service cannot do; see buttersink-s3(5)
"
    };
}

/// What the exit status means.
macro_rules! exit_status {
    () => {
        "\
exit status:
  0    all done
  1    failed
  2    usage or configuration
  3    another run holds the lock, nothing done
  4    verification found a difference
  10   some tasks failed, others done
  130  interrupted
"
    };
}

/// What `--help` prints.
pub(super) const HELP: &str = concat!(
    "\
buttersink synchronises sets of btrfs snapshots.

usage: buttersink [options] SRC DST      bring the snapshots of SRC to DST
       buttersink [options] DST          list the snapshots of DST
       buttersink [options] sync SRC DST, buttersink [options] list DST
                                         the same, said in words
       buttersink backup ...             make a backup; see buttersink backup --help
       buttersink restore ...            bring a backup back; see buttersink restore --help
       buttersink verify [options] LOCATION
                                         look at what is stored again; see buttersink verify --help
       buttersink config check [--offline] FILE
                                         what a configuration file of backups says, what its
                                         bucket is like, and what would run when
       buttersink list --config FILE [--commands]
                                         its backups in the bucket, and how to restore by hand
       buttersink clean [-n] [--older-than AGE] LOCATION
                                         remove what interrupted runs left
       buttersink clean [-n] --config FILE --backup NAME/TIME
                                         delete one backup in the bucket
       buttersink adopt [--yes] [--take-over] LOCATION [NAME...] --as SUBVOLUME
                                         say what snapshots are of, where nothing else does

  SRC, DST   [btrfs://|file://]/path/to/directory/[snapshot]
             ssh://[user@]host[:port]/path/to/directory/[snapshot]
             s3://bucket/prefix/[snapshot]
             The slash at the end matters: with it all snapshots in the directory, without it
             (SRC only) the one snapshot. DST is always a directory.

options:
  -n, --dry-run          show the plan, with exact sizes, and do nothing
  -d, --delete           after everything arrived, delete snapshots of DST that SRC does not have,
                         of the subvolumes that SRC has snapshots of;
                         when listing, remove what interrupted transfers left (not backups)
  -e, --estimate         plan with guessed sizes, without measuring
      --whole            send every snapshot whole, and none as the difference from another
      --allow-empty      a SRC without snapshots is no failure
      --compare          read what arrived, on both sides, before it counts as sent
      --resend NAME      replace this copy in DST, and nothing else: it is sent again, compared and
                         exchanged (may be repeated)
      --exclude PATTERN  leave alone the snapshots whose name matches (may be repeated)
",
    common!(),
    "      --compressed-data  send compressed extents as they are (sizes in plans are then upper bounds)
      --receive-with WAY how btrfs filesystems receive: 'builtin', or 'btrfs' (if it is there)
      --bwlimit RATE     send and receive no faster: KiB per second, or with a unit: 500, 10M
",
    ssh!(),
    s3!(),
    "      --config FILE      with list and clean: the backups that a configuration file names
      --backup NAME/TIME with clean: this backup, as they are listed; no other may build on it
      --as SUBVOLUME     with adopt: what the snapshots are of; all that nothing attributes, if none
                         is named
      --yes              with adopt: do it; else it is only shown
      --take-over        with adopt: also what is another machine's, which has moved here
      --offline          with config check: do not ask the bucket
      --commands         with list: how each stream in a bucket is received by hand
      --older-than AGE   with clean: what is younger stays: 0, 90m, 12h, 3d, 2w (in buckets 1d,
                         else 0)
      --server --mode r|a|w DIR
                         serve DIR to the buttersink at the other end of standard input and output:
                         r to read, a also to add, w also to delete
      --as NAME          with --server, before DIR: what the system log calls the client
      --strict           with --server, before DIR: refuse a DIR in which others could use what is
                         received
  -h, --help             show this help
  -V, --version          show the version

",
    exit_status!(),
);

pub(super) use {common, exit_status, s3, ssh};
