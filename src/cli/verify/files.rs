//! `verify --content`: whose files are compared, and by whom.

use super::Other;
use crate::error::{Error, Result};
use crate::store::{Location, Place, Store};
use crate::verify::{self, Report};
use std::path::Path;

/// Two directories, of which the first is verified.
pub(super) type Directories<'a> = (&'a Path, &'a Path);

/// The directories, if both are on this machine. Streams have no files to compare.
pub(super) fn two_directories<'a>(
    ours: &'a Location,
    theirs: &'a Location,
) -> Result<Option<Directories<'a>>> {
    match (&ours.place, &theirs.place) {
        (Place::Local(ours), Place::Local(theirs)) => Ok(Some((ours, theirs))),
        (Place::S3(_), _) | (_, Place::S3(_)) => {
            let said = "a bucket has streams and no files, so that there is nothing to compare with \
                        before a restore (restore --verify full compares then)";
            Err(Error::usage("cannot compare the content", said))
        }
        _ => Ok(None),
    }
}

/// Compares the files of both places: here, if the directories are, or each side its own.
pub(super) fn compare(
    report: &mut Report,
    store: &mut dyn Store,
    other: &mut Other,
    here: Option<Directories>,
    changed: bool,
    watch: &mut verify::Watch,
) -> Result<()> {
    if let Some((ours, theirs)) = here {
        return verify::content(report, ours, &other.listing, theirs, watch);
    }
    store.has_files()?;
    other.store.has_files()?;
    let (source, there) = (&mut *other.store, &other.listing);
    verify::files(report, store, there, source, changed, watch)
}
