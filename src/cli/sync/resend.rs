//! `buttersink sync --resend NAME SRC DST`: wrong copies, replaced. What is replaced and how is the
//! business of `sync::resend`.

use crate::cli::options::Options;
use crate::cli::store_options::{open, open_for};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::progress::Progress;
use crate::store::{Access, Location};
use crate::sync::resend;
use std::ffi::OsString;

pub(in crate::cli) fn run(words: &[OsString], options: &Options) -> Result<()> {
    let (from, to) = (
        Location::source(&words[0])?,
        Location::directory(&words[1])?,
    );
    if from.snapshot.is_some() {
        let said = "--resend replaces copies by their names in DST: SRC is a directory";
        return Err(Error::usage("cannot send again", said));
    }
    let access = match options.dry_run {
        true => Access::Read,
        false => Access::Write,
    };
    let mut source = open(&from, Access::Read, options)?;
    let mut dest = open_for(&from, &to, access, options)?;
    let mut progress = Progress::new(options.verbosity(), options.json);
    let (here, there) = (source.list()?, dest.list()?);
    here.notes
        .iter()
        .chain(&there.notes)
        .for_each(|note| progress.note(note));
    let plan = resend::plan(&options.resend, &here, &there)?;
    crate::sync::must_compare(&plan, &mut *source, &mut *dest)?;
    if options.dry_run {
        progress.result(&plan);
        return progress.close();
    }
    progress.hear(&Event::planned("", &plan, false));
    let listener = &mut |event| progress.hear(&event);
    let summary = resend::carry_out(&plan, &mut *source, &mut *dest, listener)?;
    let verdict = summary.verdict();
    progress.hear(&Event::Summary(summary));
    verdict.and(progress.close())
}
