//! Snapshots as streams in a bucket, whatever its keys look like. Knows what every layout does, and
//! none of them.

pub mod archive;
pub(super) mod attempt;
mod by_hand;
mod chains;
mod clean;
mod compare;
mod cutter;
mod diffs;
mod download;
mod gauge;
mod inspect;
mod kept;
mod keys;
mod layout;
pub(super) mod lifecycle;
mod out;
pub(super) mod raw;
mod records;
mod s3;
mod send;
mod sink;
mod spool;
mod thawing;
mod upload;

use super::{Access, Effort, Right, Sink, Store};
use crate::archive::{ByHand, Thaw, Thawing};
use crate::error::{Error, Result};
use crate::limiter::Limiter;
use crate::log::{self, transactions};
use crate::objects::{Inventory, Keeper, Objects};
use crate::proof::{Depth, Finding, Verdict, Watched};
use crate::snapshot::{
    Diff, Listing, Offer, Origin, Origins, Size, Sizes, Snapshot, State, Uuid, shown,
};
use archive::Archives;
use diffs::Diffs;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use diffs::{fuzz_hints, fuzz_names};
use kept::{Kept, UnfinishedStream};
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use keys::fuzz as fuzz_keys;
use keys::path_text;
pub use keys::refuse_folder;
use layout::Layout;
use sink::BucketSink;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use upload::Upload;

/// Diffs under keys that ButterSink reads and wrote.
pub type DiffStore = Bucket<Diffs>;
/// Backups of one subvolume in chunks, with manifests that btrfs_to_s3 reads and wrote.
pub type ArchiveStore = Bucket<Archives>;

/// A part of a bucket in which keys have a meaning.
#[derive(Debug)]
pub struct Bucket<L> {
    reach: Reach,
    layout: L,
    /// Whether the layout knows what is there.
    is_read: bool,
    /// A listing that was made for this and other stores, until it is used.
    found: Option<Inventory>,
}

/// What a layout works with: objects, and what the run may do and has told.
#[derive(Debug)]
pub struct Reach {
    objects: Arc<dyn Objects>,
    access: Access,
    /// The origins of what is going to be received, if somebody told.
    coming: Origins,
    told: bool,
    /// The rate of its streams, where the objects do not see to that.
    limiter: Option<Limiter>,
}

impl Reach {
    /// See [`must_be_listed`].
    fn must_be_listed(&self, prefix: &str, wanted: &[(&str, u64)]) -> Result<()> {
        must_be_listed(&*self.objects, prefix, wanted)
    }
}

/// What was written must be listed under the keys by which it will be looked for, all of which begin so.
fn must_be_listed(objects: &dyn Objects, prefix: &str, wanted: &[(&str, u64)]) -> Result<()> {
    let Some(key) = objects.unlisted(prefix, wanted)? else {
        return Ok(());
    };
    let doing = format!("cannot find {}", objects.url(&key));
    let said = match objects.keeper() {
        Keeper::Directory => {
            "it was written, and no listing shows it: another program removes what is below this directory"
        }
        _ => {
            "it was written, and no listing shows it: the service keeps it under another key, or a \
             lifecycle rule or another machine removes what is below this prefix"
        }
    };
    let way =
        "give a prefix without a slash at its beginning and without empty parts, and plain names";
    Err(Error::failed(doing, said).hint(way))
}

impl<L: Layout> Bucket<L> {
    fn of(objects: Arc<dyn Objects>, access: Access, layout: L) -> Bucket<L> {
        Bucket {
            reach: Reach {
                objects,
                access,
                coming: Origins::new(),
                told: false,
                limiter: None,
            },
            layout,
            is_read: false,
            found: None,
        }
    }

    /// Limits its streams to so many bytes in a second, for objects that know no such limit.
    #[must_use]
    pub fn limited(mut self, bwlimit: Option<u64>) -> Bucket<L> {
        self.reach.limiter = bwlimit.map(Limiter::new);
        self
    }

    /// Its objects, whose counters tell what was done.
    pub fn objects(&self) -> &dyn Objects {
        &*self.reach.objects
    }

    /// `s3://bucket/prefix/`
    pub fn location(&self) -> String {
        self.reach.objects.url(self.layout.folder())
    }

    /// What all its keys begin with.
    pub fn prefix(&self) -> &str {
        self.layout.folder()
    }

    /// Lists the bucket now, for this store and others; it serves for this one's first reading.
    ///
    /// # Errors
    /// If the bucket cannot be listed.
    pub fn inventory(&mut self) -> Result<&Inventory> {
        let found = self.reach.objects.inventory(self.layout.folder())?;
        Ok(self.found.insert(found))
    }

    /// Takes what a listing of the bucket has of it, which serves for the first reading.
    #[must_use]
    pub fn among(mut self, found: &Inventory) -> Bucket<L> {
        self.found = Some(found.below(self.layout.folder()));
        self
    }

    /// The layout, which knows what is there.
    fn known(&mut self) -> Result<&mut L> {
        if !self.is_read {
            let found = match self.found.take() {
                Some(found) => found,
                None => self.reach.objects.inventory(self.layout.folder())?,
            };
            self.layout.read(&self.reach, found)?;
            self.is_read = true;
        }
        Ok(&mut self.layout)
    }

    fn need(&self, right: Right, doing: &str) -> Result<()> {
        let location = self.location();
        self.reach.access.must_grant(right, &location, doing)
    }

    /// A snapshot's path as keys and documents have it.
    fn text(&self, path: &Path) -> Result<String> {
        path_text(
            path,
            format!("cannot keep {} in {}", shown(path), self.location()),
        )
    }

    /// The newest stream that is this diff.
    fn find(&mut self, diff: &Diff) -> Result<Option<Kept>> {
        let mut all = self.known()?.kept().iter().rev();
        Ok(all.find(|kept| kept.holds(diff)).cloned())
    }

    /// The streams that make the snapshots of a path.
    fn at(&mut self, path: &str) -> Result<Vec<Kept>> {
        let all = self.known()?.kept().iter();
        Ok(all.filter(|kept| kept.path == path).cloned().collect())
    }

    fn missing(&self, verb: &str, diff: &Diff, said: &str) -> Error {
        let from = diff
            .from
            .map_or("nothing".to_owned(), |uuid| uuid.to_string());
        let doing = format!("cannot {verb} the diff from {from} to {}", diff.to);
        Error::failed(doing, format!("{} {said}", self.location()))
    }
}

/// Changes of what is kept, which the transaction log tells of.
impl<L: Layout> Bucket<L> {
    fn shown(&self, path: &Path) -> String {
        format!("{}{}", self.location(), shown(path))
    }

    fn copy_within(&mut self, from: &Path, to: &Path) -> Result<()> {
        let location = self.location();
        let doing = format!("cannot copy {} to {} in {location}", shown(from), shown(to));
        self.need(Right::Add, &doing)?;
        let (from, to) = (self.text(from)?, self.text(to)?);
        if !self.at(&to)?.is_empty() {
            return Err(Error::refused(doing, "that name is taken"));
        }
        let sources = self.at(&from)?;
        if sources.is_empty() {
            return Err(Error::failed(doing, "it is not there"));
        }
        if let Some(why) = sources.iter().find_map(|kept| kept.broken.as_ref()) {
            let said = format!("it cannot be restored: {why}");
            return Err(Error::damaged(doing, said));
        }
        sources.iter().try_for_each(|kept| {
            crate::process::check("cannot copy")?;
            self.layout.copy(&self.reach, kept, &to)
        })
    }

    /// Deletes what is kept under this path.
    fn delete_kept(&mut self, path: &Path) -> Result<()> {
        let doing = format!("cannot delete {} in {}", shown(path), self.location());
        self.need(Right::Remove, &doing)?;
        let text = self.text(path)?;
        let kept = self.at(&text)?;
        match kept.first() {
            Some(first) if kept.iter().any(|one| one.to != first.to) => {
                let files = L::WORDS.files;
                let said = format!("several snapshots have this name: remove {files} by hand");
                Err(Error::refused(doing, said))
            }
            Some(_) => self.layout.remove(&self.reach, &text, &doing),
            None => self.remove_leftover(&text, &doing),
        }
    }

    /// Records what a snapshot is of.
    fn record_origin(&mut self, path: &Path, origin: &Origin) -> Result<()> {
        let doing = format!("cannot adopt {} in {}", shown(path), self.location());
        self.need(Right::Remove, &doing)?;
        let path = self.text(path)?;
        self.known()?;
        self.layout.adopt(&self.reach, &path, origin)
    }
}

impl<L: Layout> Store for Bucket<L> {
    fn limiter(&self) -> Option<Limiter> {
        self.reach.limiter.clone()
    }

    fn list(&mut self) -> Result<Listing> {
        self.is_read = false;
        self.known()?;
        let mut notes = self.layout.notes(&self.reach)?;
        let now = self.reach.objects.now();
        let left = self.layout.leftovers().iter();
        notes.extend(left.map(|(path, leftover)| leftover.words(path, now)));
        let kept = self.layout.kept();
        Ok(Listing {
            location: self.location(),
            snapshots: snapshots(kept, self.layout.leftovers()),
            offer: Offer::Only(offer(kept)),
            free: None,
            used: None,
            names: self.layout.names(),
            partial: self.layout.is_part(),
            unlisted: self.layout.unlisted(),
            clones: false,
            elsewhere: Vec::new(),
            notes,
        })
    }

    fn measure(&mut self, diffs: &[Diff]) -> Result<Sizes> {
        let mut sizes = Sizes::new();
        for diff in diffs {
            let kept = self.find(diff)?.map(|kept| Size::Exact(kept.bytes()));
            let size = match kept {
                None => self.layout.size(&self.reach, diff)?,
                kept => kept,
            };
            let unknown = || self.missing("measure", diff, "neither has it nor knows its size");
            sizes.insert(diff.key(), size.ok_or_else(unknown)?.into());
        }
        Ok(sizes)
    }

    fn send(&mut self, diff: &Diff) -> Result<Box<dyn Read + '_>> {
        let Some(kept) = self.find(diff)? else {
            return Err(self.missing("send", diff, "does not have it"));
        };
        let key = kept.keys().next().map_or("", String::as_str);
        log::line(|| format!("sending {}", self.reach.objects.url(key)));
        let record = self.layout.record(&self.reach, &kept)?;
        Ok(send::stream(&self.reach.objects, &kept, record))
    }

    fn by_hand(&mut self, diff: &Diff) -> Result<Option<ByHand>> {
        let Some(kept) = self.find(diff)? else {
            return Ok(None);
        };
        let keys = kept.objects.iter().map(|object| &object.key);
        let frozen = self.frozen(&kept)?.is_some();
        Ok(Some(by_hand::of(self.objects(), keys, frozen)))
    }

    /// The objects of all of them are asked for at once, and then waited for.
    fn thaw_diffs(
        &mut self,
        diffs: &[Diff],
        how: &Thaw,
        tell: &mut dyn FnMut(Thawing),
    ) -> Result<()> {
        if !self.known()?.is_cold() {
            return Ok(());
        }
        let (mut all, mut bytes) = (Vec::new(), 0);
        for diff in diffs {
            let kept = self.find(diff)?;
            bytes += kept.as_ref().map_or(0, Kept::bytes);
            all.extend(kept.into_iter().flat_map(|kept| kept.objects));
        }
        let keys: Vec<&str> = all.iter().map(|object| object.key.as_str()).collect();
        match keys.is_empty() {
            true => Ok(()),
            false => thawing::thaw_each(self.objects(), &keys, (how, how.days(bytes)), tell),
        }
    }

    fn attribute(&mut self, origins: Origins) {
        (self.reach.coming, self.reach.told) = (origins, true);
    }

    fn mends(&mut self, diff: &Diff) -> Result<bool> {
        match self.find(diff)? {
            Some(kept) => self.layout.is_mended(&self.reach, &kept),
            None => Ok(false),
        }
    }

    fn receive(&mut self, diff: &Diff, path: &Path) -> Result<Box<dyn Sink + '_>> {
        let doing = format!("cannot receive {} into {}", shown(path), self.location());
        self.need(Right::Add, &doing)?;
        names_all_it_needs(diff, &doing)?;
        let text = self.text(path)?;
        Ok(Box::new(BucketSink::new(self, diff, &text, doing)?))
    }

    fn copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        let done = self.copy_within(from, to);
        let place = || format!("{} from {}", self.shown(to), self.shown(from));
        transactions::change("copy", place, done)
    }

    fn effort(&self, diffs: &[Diff]) -> Option<Effort> {
        let mut sum = Effort::default();
        for diff in diffs {
            sum.requests += L::BESIDE;
            for (size, times) in self.lengths(diff.size)? {
                let (requests, parts) = Upload::effort(&*self.reach.objects, size)?;
                sum.requests += times * requests;
                sum.parts += times * parts;
            }
        }
        Some(sum)
    }

    fn delete(&mut self, path: &Path) -> Result<()> {
        let done = self.delete_kept(path);
        transactions::change("delete", || self.shown(path), done)
    }

    fn adopt(&mut self, path: &Path, origin: &Origin) -> Result<()> {
        let done = self.record_origin(path, origin);
        let place = || format!("{} as of {origin}", self.shown(path));
        transactions::change("adopt", place, done)
    }

    fn inspect(&mut self, depth: Depth, watch: &mut dyn FnMut(Watched)) -> Result<Vec<Finding>> {
        self.inspect_all(depth, watch)
    }

    fn compare(
        &mut self,
        path: &Path,
        diff: &Diff,
        stream: &mut dyn Read,
    ) -> Result<Option<Verdict>> {
        let path = self.text(path)?;
        let there = self.at(&path)?;
        let kept = there.iter().find(|kept| kept.holds(diff));
        kept.map(|kept| self.compare_with(kept, stream)).transpose()
    }
}

impl<L: Layout> Bucket<L> {
    /// How long the pieces of a stream are, and how many there are of each length: whole ones, and a
    /// shorter one.
    fn lengths(&self, size: Size) -> Option<Vec<(Size, u64)>> {
        let Some(cut) = self.layout.cut() else {
            return Some(vec![(size, 1)]);
        };
        let bytes = size.bytes()?;
        let rest = (Size::Exact(bytes % cut), u64::from(bytes % cut > 0));
        Some(vec![(Size::Exact(cut), bytes / cut), rest])
    }
}

/// A key and a manifest name one parent: a stream that needs more than that could never be restored.
fn names_all_it_needs(diff: &Diff, doing: &str) -> Result<()> {
    match diff.clones.is_empty() {
        true => Ok(()),
        false => Err(Error::refused(doing, "what is stored has no clone sources")),
    }
}

/// One for each path and UUID that can be restored, then the leftovers, in the order of their paths.
fn snapshots(kept: &[Kept], leftovers: &BTreeMap<String, UnfinishedStream>) -> Vec<Snapshot> {
    let mut found: BTreeMap<(&Path, Uuid), Snapshot> = BTreeMap::new();
    for kept in kept.iter().rev().filter(|kept| kept.broken.is_none()) {
        let at = (Path::new(&kept.path), kept.to);
        let known = found.entry(at).or_insert_with(|| kept.snapshot());
        known.created = known.created.max(kept.created);
    }
    for (path, leftover) in leftovers {
        let partial = Snapshot {
            path: path.into(),
            uuid: leftover.id,
            created: leftover.latest.map(jiff::Timestamp::as_second),
            state: State::Partial,
            referenced: Some(leftover.bytes),
            ..Snapshot::default()
        };
        found.insert((Path::new(path), leftover.id), partial);
    }
    found.into_values().collect()
}

/// The diffs that can be had, each once.
fn offer(kept: &[Kept]) -> Vec<Diff> {
    let mut seen = BTreeSet::new();
    let sound = kept.iter().filter(|kept| kept.broken.is_none());
    sound
        .filter(|kept| seen.insert((kept.to, kept.from)))
        .map(Kept::diff)
        .collect()
}
