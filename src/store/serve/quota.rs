//! How much may come by a key: what its line in sudoers or authorized_keys allows. Knows no connection.

use crate::error::{Error, Kind, Result};
use crate::snapshot::{Snapshot, State};
use crate::store::{Access, Store};
use crate::text::counted;

/// What the command line of a server grants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// What may be done.
    pub access: Access,
    /// How much may come.
    pub quota: Quota,
}

impl From<Access> for Grant {
    fn from(access: Access) -> Grant {
        let quota = Quota::default();
        Grant { access, quota }
    }
}

/// Limits of what is in a served directory and came by one key. What came by no known key counts as well:
/// else nobody would say who he is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Quota {
    /// Bytes of the streams by which it came.
    pub bytes: Option<u64>,
    /// How many snapshots may come by the key.
    pub snapshots: Option<u64>,
}

impl Quota {
    /// How many bytes may still come, for one snapshot more; `None` where nothing is limited, neither bytes nor
    /// snapshots.
    ///
    /// # Errors
    /// If there may be no snapshot more, or what is there cannot be listed.
    pub(super) fn room<S: Store + ?Sized>(&self, store: &mut S) -> Result<Option<u64>> {
        if *self == Quota::default() {
            return Ok(None);
        }
        let listing = store.list()?;
        let present: Vec<&Snapshot> = listing.snapshots.iter().filter(|s| counts(s)).collect();
        if let Some(most) = self.snapshots.filter(|&most| present.len() as u64 >= most) {
            return Err(used_up(&counted(most, "snapshot")));
        }
        let Some(most) = self.bytes else {
            return Ok(Some(u64::MAX));
        };
        let taken = match listing.offer.stored() {
            Some(kept) => {
                let sizes = kept.iter().filter_map(|diff| diff.size.bytes());
                sizes.fold(0, u64::saturating_add)
            }
            None => {
                let there: Vec<_> = present.iter().map(|snapshot| snapshot.uuid).collect();
                store.came_by(&there)?
            }
        };
        match most.saturating_sub(taken) {
            0 => Err(used_up(&format!("{most} bytes"))),
            left => Ok(Some(left)),
        }
    }
}

/// What came by another key, or was made here, takes none of this one's place.
fn counts(snapshot: &Snapshot) -> bool {
    let anothers = |snapshot: &Snapshot| snapshot.origin.as_ref().is_some_and(|o| !o.by.is_own());
    snapshot.received_uuid.is_some() && snapshot.state != State::Partial && !anothers(snapshot)
}

/// More than that came, or would.
pub(super) fn used_up(limit: &str) -> Error {
    let said = format!("the quota of this key is used up ({limit})");
    Error::new(Kind::Refused, "cannot receive", said)
        .hint("who owns the place prunes it, or grants more: --max-bytes, --max-snapshots")
}
