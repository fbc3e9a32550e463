//! What the far side says, in words that play no tricks. Asks nothing.

use crate::checksum::Found;
use crate::error::{Error, Result};
use crate::snapshot::{CameBy, Listing, Measured};
use crate::store::file_digests::Page;
use crate::store::wire::{inside, plain};

/// A listing with names that stay inside the directory, and words that play no tricks.
pub(super) fn listing(listing: &mut Listing, host: &str) -> Result<()> {
    for snapshot in &mut listing.snapshots {
        inside(&snapshot.path)
            .map_err(|said| Error::damaged(format!("cannot list {host}"), said))?;
        if let Some(origin) = &mut snapshot.origin {
            (origin.machine, origin.host) = (plain(&origin.machine), plain(&origin.host));
            if let CameBy::OtherKey(name) = &mut origin.by {
                *name = plain(name);
            }
        }
        let texts = snapshot.nested.iter_mut();
        texts
            .chain(&mut snapshot.storage_class)
            .for_each(|name| *name = plain(name));
    }
    for unlisted in &mut listing.unlisted {
        if !unlisted.path.as_os_str().is_empty() {
            inside(&unlisted.path)
                .map_err(|said| Error::damaged(format!("cannot list {host}"), said))?;
        }
        unlisted.why = plain(&unlisted.why);
    }
    listing
        .notes
        .iter_mut()
        .for_each(|note| *note = plain(note));
    Ok(())
}

/// A page with names that stay inside the snapshot, and words that play no tricks.
pub(super) fn page(mut page: Page, host: &str) -> Result<Page> {
    for seen in &mut page.seen {
        if !seen.path.as_os_str().is_empty() {
            inside(&seen.path)
                .map_err(|said| Error::damaged(format!("cannot compare with {host}"), said))?;
        }
        match &mut seen.found {
            Found::Nothing => {}
            Found::Unread(why) => *why = plain(why),
            Found::Entry(entry) => {
                let xattrs = std::mem::take(&mut entry.xattrs).into_iter();
                entry.xattrs = xattrs.map(|(name, sum)| (plain(&name), sum)).collect();
            }
        }
    }
    Ok(page)
}

/// What the far side knows of a diff, in words that play no tricks.
pub(super) fn measured(mut measured: Measured) -> Measured {
    measured.refused = measured.refused.map(|why| plain(&why));
    for mend in &mut measured.mended.0 {
        mend.path = plain(&mend.path);
    }
    measured
}
