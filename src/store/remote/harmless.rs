//! What the far side says beside its listings, in words that play no tricks. Asks nothing.

use crate::checksum::Found;
use crate::error::{Error, Result};
use crate::snapshot::Measured;
use crate::store::file_digests::Page;
use crate::store::wire::{inside, plain};

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
