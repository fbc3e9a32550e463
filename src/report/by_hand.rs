//! How the streams of a bucket are received by hand, each after the one that it builds on. Asks no
//! store.

use crate::archive::ByHand;
use crate::snapshot::{Diff, Listing, Uuid, path_text, shown};
use serde::Serialize;
use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

/// The streams of a place, to be shown.
#[derive(Debug, Serialize)]
pub struct Streams {
    location: String,
    streams: Vec<StreamByHand>,
}

#[derive(Debug, Serialize)]
struct StreamByHand {
    #[serde(with = "path_text")]
    path: PathBuf,
    to: Uuid,
    from: Option<Uuid>,
    command: String,
    thaw_command: Option<String>,
}

impl Streams {
    /// The streams of a listing whose store keeps streams. `how` says of each by which command it is fetched.
    ///
    /// # Errors
    /// What `how` says.
    pub fn of<E>(
        listing: &Listing,
        mut how: impl FnMut(&Diff) -> Result<Option<ByHand>, E>,
    ) -> Result<Streams, E> {
        let mut streams = Vec::new();
        for diff in in_order(listing.offer.stored().unwrap_or_default()) {
            let path = listing.snapshots.iter().find(|s| s.id() == diff.to);
            let (Some(snapshot), Some(hand)) = (path, how(&diff)?) else {
                continue;
            };
            streams.push(StreamByHand {
                path: snapshot.path.clone(),
                to: diff.to,
                from: diff.from,
                command: hand.receive,
                thaw_command: hand.thaw,
            });
        }
        let location = listing.location.clone();
        Ok(Streams { location, streams })
    }

    fn name(&self, id: Uuid) -> String {
        let found = self.streams.iter().find(|stream| stream.to == id);
        found.map_or_else(|| id.to_string(), |stream| shown(&stream.path))
    }
}

/// What builds on another comes after it; what builds on nothing that is there is left out.
fn in_order(kept: &[Diff]) -> Vec<Diff> {
    let (mut left, mut order, mut made) = (kept.to_vec(), Vec::new(), HashSet::new());
    loop {
        let can = |diff: &Diff| diff.from.is_none_or(|from| made.contains(&from));
        let (next, rest): (Vec<Diff>, Vec<Diff>) = left.into_iter().partition(can);
        if next.is_empty() {
            return order;
        }
        made.extend(next.iter().map(|diff| diff.to));
        order.extend(next);
        left = rest;
    }
}

impl fmt::Display for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by hand, in {}:", self.location)?;
        for stream in &self.streams {
            let on = stream.from.map_or_else(
                || "whole".to_owned(),
                |from| format!("on {}", self.name(from)),
            );
            write!(f, "\n  {} ({on})", shown(&stream.path))?;
            let lines = stream.thaw_command.iter().chain([&stream.command]);
            for line in lines {
                write!(f, "\n    {line}")?;
            }
        }
        Ok(())
    }
}
