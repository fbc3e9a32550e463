//! The backups of a chain as a store that sends them, wherever in the bucket their manifests lie.
//! Nothing can be brought to it.

use super::chain::Link;
use crate::error::{Error, Kind, Result};
use crate::s3::Client;
use crate::snapshot::{Diff, Listing, Size, Sizes, Snapshot, Uuid, shown};
use crate::store::bucket::archive;
use crate::store::{Sink, Store};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// A chain of backups, the full one first.
pub(super) struct Links {
    pub(super) client: Arc<Client>,
    pub(super) all: Vec<Link>,
}

impl Links {
    /// What makes the snapshot of a link; `None` if its UUID is not known yet.
    pub(super) fn diff(&self, number: usize) -> Option<Diff> {
        let before = number.checked_sub(1).and_then(|n| self.all.get(n));
        let from = match before {
            Some(link) => Some(link.id?),
            None => None,
        };
        let link = self.all.get(number)?;
        Some(Diff {
            to: link.id?,
            from,
            size: Size::Exact(link.manifest.total_bytes),
        })
    }

    /// Learns the UUID of a link from its stream, if nobody wrote it down.
    pub(super) fn identify(&mut self, number: usize) -> Result<()> {
        let Some(link) = self.all.get(number).filter(|link| link.id.is_none()) else {
            return Ok(());
        };
        self.all[number].id = archive::identify(&self.client, &link.manifest)?;
        Ok(())
    }

    fn find(&self, id: Uuid) -> Result<&Link> {
        let link = self.all.iter().find(|link| link.id == Some(id));
        link.ok_or_else(|| Error::failed(format!("cannot find {id}"), "no backup makes it"))
    }
}

impl Store for Links {
    fn list(&mut self) -> Result<Listing> {
        let snapshot = |link: &Link| {
            Some(Snapshot {
                path: link.path(),
                uuid: link.id?,
                read_only: true,
                ..Snapshot::default()
            })
        };
        let diffs = (0..self.all.len()).filter_map(|number| self.diff(number));
        Ok(Listing {
            location: self.client.url(""),
            snapshots: self.all.iter().filter_map(snapshot).collect(),
            offer: diffs.collect(),
            ..Listing::default()
        })
    }

    fn measure(&mut self, diffs: &[Diff]) -> Result<Sizes> {
        let size = |diff: &Diff| {
            let size = Size::Exact(self.find(diff.to)?.manifest.total_bytes);
            Ok((diff.pair(), size.into()))
        };
        diffs.iter().map(size).collect()
    }

    fn send(&mut self, diff: &Diff) -> Result<Box<dyn Read + '_>> {
        let link = self.find(diff.to)?;
        Ok(Box::new(archive::stream(&self.client, &link.manifest)))
    }

    fn receive(&mut self, _diff: &Diff, path: &Path) -> Result<Box<dyn Sink + '_>> {
        Err(refused("receive", path))
    }

    fn copy(&mut self, from: &Path, _to: &Path) -> Result<()> {
        Err(refused("copy", from))
    }

    fn delete(&mut self, path: &Path) -> Result<()> {
        Err(refused("delete", path))
    }
}

fn refused(what: &str, path: &Path) -> Error {
    let doing = format!("cannot {what} {}", shown(path));
    Error::new(Kind::Refused, doing, "a restore only reads")
}
