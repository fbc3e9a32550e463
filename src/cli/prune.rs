//! `buttersink prune`: retention where backups arrive, from options to an order. Knows no policy.

use super::form::{EXIT, Form, with_config};
use super::grammar::{Command, Usage, usage};
use super::options::Options;
use super::store_options::store_options;
use crate::backup;
use crate::backup::families::{self, PruneOrder};
use crate::backup::retention::Policy;
use crate::error::Result;
use crate::progress::Progress;
use crate::snapshot::Origins;
use crate::store::{self, Access, Location};
use std::ffi::OsString;

pub(super) const COMMAND: Command<Form> = Command {
    name: "prune",
    about: "lets old snapshots go where backups arrive, of each subvolume by itself",
    usages: &[
        Usage::of(Form::Prune, "[options] LOCATION --keep POLICY", (1, 1)),
        with_config(Form::PruneConfig),
    ],
    text: "\
For whoever owns the place: it needs no source. What no record attributes is shown and stays. Of each
subvolume, and of what came by each key of a server, the newest always stays. With --config, FILE says
what stays, here and at each of its destinations; nothing is made and nothing sent.
",
    examples: &[
        "buttersink prune -n /srv/backup/host1/ --keep '7d 4w 12m'",
        "buttersink prune /srv/backup/host1/ --keep '7d 4w 12m' --keep-min 30d",
        "buttersink prune -n --config /etc/b.toml --subvolume home",
    ],
    exit: EXIT,
};

pub(super) fn run(words: &[OsString], options: &Options) -> Result<()> {
    let location = Location::directory(&words[0])?;
    let order = order(options)?;
    let access = match order.dry_run {
        true => Access::Read,
        false => Access::Write,
    };
    let mut store = store::open(&location.place, access, &store_options(options)?)?;
    store.attribute(Origins::new());
    let mut progress = Progress::new(options.verbosity(), options.json);
    let now = backup::local_now(|remark| progress.note(remark));
    let done = families::prune(&order, &mut *store, &now, &mut |event| {
        progress.hear(&event);
    });
    done.and(progress.close())
}

fn order(options: &Options) -> Result<PruneOrder> {
    let keeps = Policy {
        newest: options.num_backups,
        least: options.keep_min,
        ..options.keep.clone().unwrap_or_default()
    };
    if keeps.keeps_all() {
        let said = "it lacks --keep POLICY or --num-backups N: what stays";
        return Err(usage("buttersink prune", said));
    }
    Ok(PruneOrder {
        keeps,
        exclude: options.exclude.clone(),
        dry_run: options.dry_run,
    })
}
