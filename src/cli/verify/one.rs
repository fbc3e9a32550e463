//! One store: what its own records say, and what another place and a drill say of its streams. Compares
//! nothing itself.

use super::drill::DrillRun;
use crate::cli::options::Options;
use crate::cli::store_options::open;
use crate::error::{Kind, Result};
use crate::event::Listener;
use crate::proof::{Depth, Finding, Verdict};
use crate::snapshot::{Listing, Uuid};
use crate::store::{Access, Archive, Location, Store};
use crate::verify::{self, Verification};
use std::path::Path;

/// What a store is held against besides its own records.
pub(super) type CompareWith<'a> = (Option<&'a mut Other>, Option<&'a mut DrillRun>);

/// A place to compare with.
pub(super) struct Other {
    pub(super) store: Box<dyn Store>,
    pub(super) listing: Listing,
}

impl Other {
    pub(super) fn open(location: &Location, options: &Options) -> Result<Other> {
        let mut store = open(location, Access::Read, options)?;
        let listing = store.list()?;
        Ok(Other { store, listing })
    }
}

/// One store, whether the other place makes the streams that it has, and whether they can be received.
pub(super) fn alone(
    store: &mut dyn Store,
    depth: Depth,
    (other, drill): &mut CompareWith,
    listener: &mut Listener,
) -> Result<Verification> {
    let mut report = verify::alone(store, depth, listener)?;
    if let Some(other) = other {
        let there = &other.listing;
        verify::same_streams(&mut report, store, there, &mut *other.store, listener)?;
    }
    if let Some(drill) = drill {
        drill.try_all(&mut report, store, listener)?;
    }
    Ok(report)
}

/// The path of an archive below a place. Places are for people, who are shown names so that they do no harm:
/// of the path they only tell how long it is.
fn below(place: &str, archive: &dyn Archive) -> String {
    let location = archive.location();
    let Some(below) = location.strip_prefix(place) else {
        return location;
    };
    let folder = archive.folder().trim_end_matches('/');
    let parts = below.trim_end_matches('/').split('/').count();
    let begin = folder.rmatch_indices('/').nth(parts - 1);
    folder[begin.map_or(0, |(at, _)| at + 1)..].to_owned()
}

/// An archive is a part of the place below which it lies.
pub(super) fn add(
    report: &mut Verification,
    archive: &mut dyn Archive,
    depth: Depth,
    with: &mut CompareWith,
    listener: &mut Listener,
) -> Result<()> {
    let at = below(&report.listing.location, archive);
    match alone(archive, depth, with, listener) {
        Ok(part) => report.join(part, Path::new(&at)),
        Err(error) if error.kind == Kind::Interrupted => return Err(error),
        // What cannot be read of one archive keeps none of the others from being looked at.
        Err(error) => report.findings.push(Finding {
            path: at.into(),
            id: Uuid::default(),
            verdict: Verdict::Unverifiable(error.to_string()),
        }),
    }
    Ok(())
}
