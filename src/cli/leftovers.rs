//! What interrupted runs left, and what of it may go. Deletes nothing.

use crate::glob;
use crate::snapshot::{Listing, Snapshot, State};
use crate::store::Place;
use jiff::{SignedDuration, Timestamp};
use std::ffi::OsString;

/// The age from which what is left may go: another machine may be uploading right now, and nobody
/// here can see it; a directory has a lock.
pub(super) fn usual(place: &Place) -> SignedDuration {
    match place.keeps_streams() {
        true => SignedDuration::from_hours(24),
        false => SignedDuration::ZERO,
    }
}

/// What is left at a location, but for what somebody wants to be left alone.
pub(super) fn leftovers<'a>(
    listing: &'a Listing,
    exclude: &'a [OsString],
) -> impl Iterator<Item = &'a Snapshot> {
    let all = listing.snapshots.iter();
    all.filter(|s| s.state == State::Partial && !glob::any(exclude, &s.path))
}

/// Of what nobody knows the age, any might be too young.
pub(super) fn is_old(left: &Snapshot, limit: SignedDuration) -> bool {
    limit.is_zero() || age(left).is_some_and(|age| age >= limit)
}

/// How long ago the last of it arrived.
pub(super) fn age(left: &Snapshot) -> Option<SignedDuration> {
    let latest = Timestamp::from_second(left.created?).ok()?;
    Some(Timestamp::now().duration_since(latest))
}
