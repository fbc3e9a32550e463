//! What there is of streams: those that are kept, what was written down of them, and what runs left.
//! Knows no layout.

use crate::digest::Digests;
use crate::error::{Kind, Result};
use crate::objects::{Object, Objects, Source, Unfinished};
use crate::snapshot::{Diff, Origin, Size, Snapshot, Uuid};
use crate::text::{duration, shown};
use jiff::Timestamp;

/// A stream that is kept, and the objects that hold it.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The path of the snapshot.
    pub(super) path: String,
    /// The snapshot that the stream makes.
    pub(super) to: Uuid,
    /// The parent that it makes it out of; `None` for a whole stream.
    pub(super) from: Option<Uuid>,
    /// Nobody knows the real UUID of what it makes, so that `to` is another.
    pub(super) stand_in: bool,
    /// Nobody knows the real UUID of what it builds on, so that `from` is another.
    pub(super) hidden_parent: bool,
    /// Its objects in order, with the ETags that they have now.
    pub(super) objects: Vec<Source>,
    /// The key of what says that the objects are a stream, if they do not say so themselves.
    pub(super) marker: Option<String>,
    /// The name by which those that build on it name it.
    pub(super) name: String,
    /// The name of what it builds on.
    pub(super) on: Option<String>,
    /// Why it cannot be restored, as far as a listing tells.
    pub(super) broken: Option<String>,
    /// That is so only as far as could be read.
    pub(super) unknown: bool,
    /// When it was uploaded or its backup began, in seconds since 1970.
    pub(super) created: Option<i64>,
    /// The storage class of its objects, as far as a listing tells.
    pub(super) class: String,
    /// The subvolume that it is a snapshot of.
    pub(super) subvolume: Option<Uuid>,
    /// The same, with its machine.
    pub(super) origin: Option<Origin>,
}

impl Kept {
    /// The length of the stream.
    pub(super) fn bytes(&self) -> u64 {
        // A listing says what it likes.
        let sizes = self.objects.iter().map(|object| object.size);
        sizes.fold(0, u64::saturating_add)
    }

    /// What it makes out of what, and its length.
    pub(super) fn diff(&self) -> Diff {
        Diff::new(self.to, self.from, Size::Exact(self.bytes()))
    }

    /// Whether it is this diff, and can be restored.
    pub(super) fn holds(&self, diff: &Diff) -> bool {
        self.broken.is_none() && (self.to, self.from) == (diff.to, diff.from)
    }

    /// The keys, the one without which the others mean nothing first.
    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        let objects = self.objects.iter().map(|object| &object.key);
        self.marker.iter().chain(objects)
    }

    /// What a listing says of the snapshot.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            path: self.path.clone().into(),
            uuid: self.to,
            parent_uuid: self.subvolume,
            origin: self.origin.clone(),
            created: self.created,
            read_only: true,
            stand_in: self.stand_in,
            storage_class: Some(self.class.clone()).filter(|class| !class.is_empty()),
            ..Snapshot::default()
        }
    }
}

/// What was written down of a stream when it was uploaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The length of the stream in bytes.
    pub(super) bytes: Option<u64>,
    /// Digests of the whole.
    pub(super) whole: Digests,
    /// Those of each of its objects, if there are such.
    pub(super) each: Vec<Digests>,
    /// The ETags of its objects, in order; empty where none was recorded.
    pub(super) etags: Vec<String>,
    /// It says what has to be there, whatever became of the objects. Otherwise it is about the objects
    /// with these ETags, and others may have taken their place.
    pub(super) binding: bool,
}

impl Record {
    /// Whether the objects have the ETags that were recorded.
    pub(super) fn is_of(&self, kept: &Kept) -> bool {
        let now = kept.objects.iter().map(|object| &object.etag);
        self.etags.iter().eq(now)
    }
}

/// What a run left that did not end: uploads, and objects without what makes a stream of them.
#[derive(Clone, Debug, Default)]
pub struct UnfinishedStream {
    /// What stands for the snapshot, or is its UUID.
    pub(super) id: Uuid,
    /// The objects of it that are whole.
    pub(super) objects: Vec<Object>,
    /// The uploads of it that were not finished.
    pub(super) uploads: Vec<Unfinished>,
    /// Bytes that are there.
    pub bytes: u64,
    /// When something last arrived.
    pub latest: Option<Timestamp>,
}

/// Looks at what runs left, as far as that is told; what is not, in words.
pub(super) fn look_at_all<'a>(
    all: impl Iterator<Item = &'a mut UnfinishedStream>,
    objects: &dyn Objects,
) -> Result<Vec<String>> {
    let mut remarks = Vec::new();
    for leftover in all {
        match leftover.look(objects) {
            Err(error) if error.kind == Kind::Interrupted => return Err(error),
            // Of what nobody knows the age, any might be too young.
            Err(error) => {
                leftover.latest = None;
                remarks.push(error.to_string());
            }
            Ok(()) => {}
        }
    }
    Ok(remarks)
}

impl UnfinishedStream {
    /// Asks what arrived of its uploads, and when.
    pub(super) fn look(&mut self, objects: &dyn Objects) -> Result<()> {
        for upload in &self.uploads {
            let parts = objects.parts(upload)?.unwrap_or_default();
            let sizes = parts.iter().map(|part| part.size);
            self.bytes = sizes.fold(self.bytes, u64::saturating_add);
            let arrived = parts.iter().filter_map(|part| part.modified).max();
            self.latest = self.latest.max(arrived).max(upload.started);
        }
        Ok(())
    }

    /// What it is, and since when.
    pub(super) fn words(&self, path: &str, now: Timestamp) -> String {
        let ago = |at: Option<Timestamp>, what: &str| {
            let age = at.map(|at| duration(now.duration_since(at)));
            age.map_or(String::new(), |age| format!(", {what} {age} ago"))
        };
        let begun = self.uploads.iter().filter_map(|upload| upload.started);
        let (begun, last) = (ago(begun.min(), "begun"), ago(self.latest, "the last"));
        let (path, bytes) = (shown(path), self.bytes);
        format!(
            "{path}: an unfinished upload{begun}, left by a run that did not end: {bytes} bytes are there{last}"
        )
    }

    /// Takes in an object.
    pub(super) fn add(&mut self, object: Object) {
        self.bytes = self.bytes.saturating_add(object.size);
        self.latest = self.latest.max(object.modified);
        self.objects.push(object);
    }
}
