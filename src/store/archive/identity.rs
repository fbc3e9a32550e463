//! Which snapshot a backup is of. The old program did not write it down; then a backup that builds
//! on it may know, else the beginning of its stream says it, if that can be read.

use super::index::{Archive, at_once};
use super::manifest::Manifest;
use crate::error::{Error, Kind, Result};
use crate::s3::Client;
use crate::snapshot::Uuid;
use crate::stream::{Head, Parsed};
use ring::digest::SHA256;

/// More than the first command of any stream takes.
const BEGIN: u64 = 1024;

/// What a manifest and its stream say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// The effective UUID of the snapshot.
    Known(Uuid),
    /// Nobody can tell before the chunks are thawed; until then this stands for it.
    Hidden(Uuid),
}

impl Identity {
    /// The UUID, whichever it is.
    pub(super) fn uuid(self) -> Uuid {
        match self {
            Identity::Known(uuid) | Identity::Hidden(uuid) => uuid,
        }
    }
}

/// Bytes that depend on a text and on nothing else.
pub(super) fn digest(text: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&ring::digest::digest(&SHA256, text.as_bytes()).as_ref()[..16]);
    bytes
}

impl Archive {
    /// Finds out which snapshots the backups are of. Those whose stream is none are broken.
    ///
    /// # Errors
    /// If the bucket cannot be read.
    pub(super) fn identify(&mut self, client: &Client) -> Result<()> {
        let mut open = Vec::new();
        for (key, manifest) in &self.manifests {
            let told = manifest.snapshot.uuid.or_else(|| self.told_by_child(key));
            match told {
                Some(uuid) => drop(self.identities.insert(key.clone(), Identity::Known(uuid))),
                None if self.broken.contains_key(key) => {}
                None => open.push((key.clone(), manifest)),
            }
        }
        let found = at_once(client, &open, |(key, manifest)| {
            of_stream(client, key, manifest)
        });
        let mut wrong = Vec::new();
        for ((key, _), found) in open.iter().zip(found) {
            match found {
                Ok(identity) => drop(self.identities.insert(key.clone(), identity)),
                Err(error) if error.kind == Kind::Damaged => wrong.push((key.clone(), error)),
                Err(error) => return Err(error),
            }
        }
        for (key, error) in wrong {
            self.spoil(&key, &error.to_string());
        }
        Ok(())
    }

    fn told_by_child(&self, key: &str) -> Option<Uuid> {
        let mut all = self.manifests.values();
        all.find_map(|child| {
            let builds = child.parent_manifest.as_deref() == Some(key);
            child.snapshot.parent_uuid.filter(|_| builds)
        })
    }
}

/// What the beginning of a stream says.
pub(super) fn of_stream(client: &Client, key: &str, manifest: &Manifest) -> Result<Identity> {
    let mut begin = Vec::new();
    for chunk in &manifest.chunks {
        let want = BEGIN.min(chunk.size);
        if want == 0 {
            continue;
        }
        match client.beginning(&chunk.key, want)? {
            Some(bytes) => begin.extend(bytes),
            None => return Ok(Identity::Hidden(Uuid(digest(key)))),
        }
        if let Parsed::Whole(head, _) = Head::parse(&begin)? {
            return Ok(Identity::Known(head.uuid));
        }
        if want == BEGIN {
            break;
        }
    }
    Err(Error::damaged(
        "its stream is damaged",
        "it has no beginning",
    ))
}
