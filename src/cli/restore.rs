//! `buttersink restore`: its words and the configuration into an order, and the order shown while it
//! runs.

mod words;

use super::help;
use super::means::means;
use super::options::Options;
use crate::archive::Thaw;
use crate::backup;
use crate::backup::archive;
use crate::backup::config::{self, Config};
use crate::error::{Kind, Result};
use crate::progress::Progress;
use crate::restore::{self, Compare, Order};
use std::time::Duration;
pub(super) use words::{Task, parse};

/// What `restore --help` prints.
pub(super) const HELP: &str = concat!(
    "\
buttersink restore brings a backup back from the bucket that a configuration file names.

usage: buttersink restore [options] --config FILE --subvolume NAME --target PATH

It shows first what it takes: the chain of backups, bytes, costs and how long frozen objects take
to thaw. All of them are thawed at once. What is received stays, read-only, in
restore.target_base_dir if that is on the filesystem of PATH, and beside PATH otherwise; what is
there already is not fetched. PATH, which must not exist, becomes a writable snapshot of the last.
If a run ends early, the same command goes on.

options:
      --config FILE      the configuration file of the backups; see buttersink.conf(5)
      --subvolume NAME   the backups of this name
      --target PATH      where to
      --at TIME          the newest that was made then or before: '2026-11-21', '2026-11-21 14:00'
                         in local time, 2026-11-21T14:00:00Z or 20261121T140000Z
      --snapshot NAME    that of the snapshot NAME
      --manifest-key KEY the one whose manifest has this key
      --verify MODE      compare with the source snapshot, if that is on this machine: full, sample
                         or none
      --wait-restore     wait until frozen objects are thawed
      --no-wait-restore  only ask for it, and exit with 10
      --restore-timeout S
                         wait no longer than so many seconds
      --restore-tier T   thaw by Standard, Bulk or Expedited
  -n, --dry-run          show what it takes, and do nothing
",
    help::common!(),
    "      --receive-with WAY receive by 'builtin' or 'btrfs' (restore.receive_with of the file)
      --bwlimit RATE     no faster than this: KiB per second, or with a unit: 500, 10M
      --endpoint-url URL an S3 service other than AWS (also AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL)
      --profile NAME     the profile in the AWS configuration files (also AWS_PROFILE)
  -j, --concurrency N    requests at the same time (s3.concurrency of the file)
      --s3-quirks NAMES  what the service cannot do; see buttersink-s3(5)
  -h, --help             show this help

exit status:
  0    restored
  1    failed
  2    usage or configuration
  3    another run holds the lock, nothing done
  4    verification found a difference
  10   objects are being thawed, nothing restored yet; the same command goes on
  130  interrupted
"
);

/// The order that the words and the file make together.
fn order(task: &Task, options: &Options, config: &Config) -> Result<Order> {
    let file: &config::Restore = &config.restore;
    let files = usize::try_from(file.sample_max_files).unwrap_or(usize::MAX);
    let compare = match task.verify.as_deref().unwrap_or(&file.verify_mode) {
        "none" => Compare::None,
        "sample" => Compare::Sample(files),
        _ => Compare::Full,
    };
    let tier = match task.tier {
        Some(tier) => tier,
        None => file.restore_tier,
    };
    let seconds = task
        .timeout
        .map_or(file.restore_timeout_seconds, |s| s as u64);
    Ok(Order {
        archive: archive::readable(config, &task.subvolume),
        which: task.which.clone(),
        target: task.target.clone(),
        base: file.target_base_dir.clone(),
        compare,
        thaw: Thaw {
            tier,
            hurry: task.tier.is_some(),
            wait: task.wait.unwrap_or(file.wait_for_restore),
            timeout: Duration::from_secs(seconds),
        },
        dry_run: options.dry_run,
    })
}

/// Restores.
pub(super) fn run(task: &Task, options: &Options) -> Result<()> {
    let config = Config::read(&task.config)?;
    let order = order(task, options, &config)?;
    let mut means = archive::means(&config, &means(options));
    if task.concurrency {
        means.s3.concurrency = options.s3.concurrency;
    }
    let mut progress = Progress::new(options.verbosity, options.json);
    if let (_, Some(remark)) = backup::local_now() {
        progress.note(remark);
    }
    means.manner.receive_with = means.manner.receive_with.or(config
        .restore
        .receive_with
        .parse()
        .ok());
    let done = restore::run(&order, &means, &mut |event| progress.hear(&event));
    if matches!(&done, Err(error) if error.kind == Kind::Interrupted) {
        progress.note("nothing is at the target yet; the same command goes on");
    }
    done.and(progress.close())
}
