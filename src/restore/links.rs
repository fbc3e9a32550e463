//! The backups of a chain as a store that sends them: the chunks of each as one stream, every one
//! with its recorded SHA-256. Nothing can be brought to it.

use super::chain::Link;
use crate::error::{Error, Kind, Result};
use crate::s3::Client;
use crate::s3::download::{Download, Source};
use crate::snapshot::{Diff, Listing, Offer, Size, Snapshot, Uuid, shown};
use crate::store::archive::manifest::Chunk;
use crate::store::{Sink, Store};
use crate::stream::{Head, Parsed};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::vec;

/// More than the first command of a stream has.
const HEAD: u64 = 64 << 10;

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
        let head = self.head(link)?;
        self.all[number].id = Some(head.uuid);
        Ok(())
    }

    fn head(&self, link: &Link) -> Result<Head> {
        if let Some(first) = link.manifest.chunks.first() {
            let start = self.client.start_of(&first.key, HEAD.min(first.size))?;
            if let Parsed::Whole(head, _) = Head::parse(&start)? {
                return Ok(head);
            }
        }
        // Chunks may be very short.
        Head::read(&mut self.stream(link))
    }

    fn stream(&self, link: &Link) -> Chunks {
        Chunks {
            client: Arc::clone(&self.client),
            left: link.manifest.chunks.clone().into_iter(),
            now: None,
        }
    }

    fn find(&self, id: Uuid) -> Result<&Link> {
        let link = self.all.iter().find(|link| link.id == Some(id));
        link.ok_or_else(|| Error::failed(format!("cannot find {id}"), "no backup makes it"))
    }
}

/// Chunks one after the other.
struct Chunks {
    client: Arc<Client>,
    left: vec::IntoIter<Chunk>,
    now: Option<Download>,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(now) = &mut self.now {
                match now.read(buffer)? {
                    0 if !buffer.is_empty() => self.now = None,
                    count => return Ok(count),
                }
            }
            let Some(chunk) = self.left.next() else {
                return Ok(0);
            };
            let recorded = (!chunk.sha256.is_empty()).then_some(chunk.sha256);
            // A bucket may have been copied, and so its ETags are no longer those of the manifest.
            let source = Source {
                key: chunk.key,
                size: chunk.size,
                etag: String::new(),
            };
            let client = Arc::clone(&self.client);
            self.now = Some(Download::new(client, vec![source], recorded));
        }
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
            offer: Offer::Only(diffs.collect()),
            ..Listing::default()
        })
    }

    fn measure(&mut self, diffs: &[Diff]) -> Result<Vec<Size>> {
        let size = |diff: &Diff| Ok(Size::Exact(self.find(diff.to)?.manifest.total_bytes));
        diffs.iter().map(size).collect()
    }

    fn send(&mut self, diff: &Diff) -> Result<Box<dyn Read + '_>> {
        let stream = self.stream(self.find(diff.to)?);
        Ok(Box::new(stream))
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
