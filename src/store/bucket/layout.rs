//! What keys in a bucket mean is said by a layout: which objects make a stream, what is written down of
//! it, and in which order. Knows snapshots and objects; how streams come and go is the same for all.

use super::Reach;
use super::cutter::Out;
use crate::digest::Digests;
use crate::error::Result;
use crate::proof::Finding;
use crate::s3::Client;
use crate::s3::download::Source;
use crate::s3::listing::{Inventory, Object, Unfinished};
use crate::s3::upload::{Made, Meta};
use crate::snapshot::{Diff, Origin, Size, Snapshot, Uuid};
use crate::stream::Head;
use crate::text::duration;
use crate::text::shown;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A stream that is kept, and the objects that hold it.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The path of the snapshot.
    pub(super) path: String,
    /// What it makes.
    pub(super) to: Uuid,
    /// Out of what.
    pub(super) from: Option<Uuid>,
    /// Nobody knows the real UUID of what it builds on, so that `from` is another.
    pub(super) hidden_parent: bool,
    /// In order, with the ETags that they have now.
    pub(super) objects: Vec<Source>,
    /// The key of what says that the objects are a stream, if they do not say so themselves.
    pub(super) marker: Option<String>,
    /// By what others name it that build on it.
    pub(super) name: String,
    /// The name of what it builds on.
    pub(super) on: Option<String>,
    /// Why it cannot be restored, as far as a listing tells.
    pub(super) broken: Option<String>,
    /// Seconds since 1970.
    pub(super) created: Option<i64>,
    /// The subvolume that it is a snapshot of.
    pub(super) subvolume: Option<Uuid>,
    /// The same, with its machine.
    pub(super) origin: Option<Origin>,
}

impl Kept {
    /// The length of the stream.
    pub(super) fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.size).sum()
    }

    /// What it makes out of what, and its length.
    pub(super) fn diff(&self) -> Diff {
        Diff {
            to: self.to,
            from: self.from,
            size: Size::Exact(self.bytes()),
        }
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
            ..Snapshot::default()
        }
    }
}

/// What was written down of a stream when it was uploaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its length.
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
pub struct Leftover {
    /// What stands for the snapshot, or is its UUID.
    pub(super) id: Uuid,
    /// Whole objects.
    pub(super) objects: Vec<Object>,
    /// Uploads of such.
    pub(super) uploads: Vec<Unfinished>,
    /// Bytes that are there.
    pub bytes: u64,
    /// When something last arrived.
    pub latest: Option<Timestamp>,
}

impl Leftover {
    /// Asks what arrived of its uploads, and when.
    pub(super) fn look(&mut self, objects: &Client) -> Result<()> {
        for upload in &self.uploads {
            let (bytes, latest) = objects.arrived(upload)?;
            self.bytes += bytes;
            self.latest = self.latest.max(latest).max(upload.started);
        }
        Ok(())
    }

    /// What it is, and since when.
    pub(super) fn words(&self, path: &str, now: Timestamp) -> String {
        let age = self
            .latest
            .map(|latest| duration(now.duration_since(latest)));
        let age = age.map_or(String::new(), |age| format!(", the last {age} ago"));
        let (path, bytes) = (shown(path), self.bytes);
        format!(
            "{path}: an unfinished upload, left by a run that did not end: {bytes} bytes arrived{age}"
        )
    }

    /// Takes in an object.
    pub(super) fn add(&mut self, object: Object) {
        self.bytes += object.size;
        self.latest = self.latest.max(object.modified);
        self.objects.push(object);
    }
}

/// What the words of a layout are.
pub struct Words {
    /// One of what a stream is stored in.
    pub(super) piece: &'static str,
    /// Several of what make a chain.
    pub(super) links: &'static str,
    /// What is removed by hand.
    pub(super) files: &'static str,
}

/// What keys mean.
pub trait Layout {
    /// How things are called.
    const WORDS: Words;
    /// Objects of a verified stream are asked about one by one, and the generations in streams must be
    /// those of their parents.
    const STRICT: bool;
    /// How many objects are written beside those of a stream.
    const BESIDE: u64;
    /// What is known of a stream that is coming.
    type Draft;

    /// What all its keys begin with.
    fn folder(&self) -> &str;

    /// Bytes at which streams are cut, if they are.
    fn cut(&self) -> Option<u64> {
        None
    }

    /// Understands what was listed.
    fn read(&mut self, reach: &Reach, found: Inventory) -> Result<()>;

    /// What is kept, in the order in which it is shown.
    fn kept(&self) -> &[Kept];

    /// What runs left, by a path that `delete` takes.
    fn leftovers(&self) -> &BTreeMap<String, Leftover>;

    /// Remarks for a person; and what is wrong is set right, where that is allowed.
    fn notes(&mut self, reach: &Reach) -> Result<Vec<String>>;

    /// Fetches what was written down of all that is kept, if it is not known yet.
    fn fetch(&mut self, _reach: &Reach) -> Result<()> {
        Ok(())
    }

    /// What was written down of a stream.
    fn record(&mut self, reach: &Reach, kept: &Kept) -> Result<Record>;

    /// Whether a stream is of a sender that mends.
    fn is_mended(&mut self, reach: &Reach, kept: &Kept) -> Result<bool>;

    /// What is known of the size of a diff that is not there.
    fn size(&mut self, _reach: &Reach, _diff: &Diff) -> Result<Option<Size>> {
        Ok(None)
    }

    /// What should be there and is not, or is there and is not understood.
    fn absent(&mut self, reach: &Reach) -> Result<Vec<Finding>>;

    /// Begins to keep a stream, and says where its bytes go.
    fn draft(
        &mut self,
        reach: &Reach,
        diff: &Diff,
        path: &str,
        doing: &str,
    ) -> Result<(Self::Draft, Out)>;

    /// The metadata of objects, as soon as the head of their stream has come.
    fn describe(&self, reach: &Reach, draft: &mut Self::Draft, head: &Head, mended: bool) -> Meta;

    /// Writes down what makes a stream of the objects that were made.
    fn keep(
        &mut self,
        reach: &Reach,
        draft: Self::Draft,
        made: Vec<Made>,
        mended: bool,
    ) -> Result<()>;

    /// Keeps the same under another path.
    fn copy(&mut self, reach: &Reach, kept: &Kept, to: &str) -> Result<()>;

    /// Records what the snapshot of a path is of.
    fn adopt(&mut self, reach: &Reach, path: &str, origin: &Origin) -> Result<()>;

    /// Removes all streams of a path.
    fn remove(&mut self, reach: &Reach, path: &str, doing: &str) -> Result<()>;

    /// Refuses to remove what became a stream since it was listed.
    fn must_be_left(&self, _reach: &Reach, _path: &str, _doing: &str) -> Result<()> {
        Ok(())
    }

    /// No longer there.
    fn forget_leftover(&mut self, path: &str);
}
