//! The layout of diffs, under keys that ButterSink reads and wrote: a snapshot's path, and in it
//! `TO_FROM`. Sizes and checksums stand in a file beside it.

mod hints;
mod index;
mod name;
mod records;

use super::clean::TRASH;
use super::kept::{self, Kept, Record, UnfinishedStream};
use super::keys::{is_path, refuse_folder};
use super::layout::{Layout, Words};
use super::out::Out;
use super::upload::{Made, Upload, UploadTarget};
use super::{Bucket, Reach};
use crate::error::{Error, Result};
use crate::objects::{Inventory, Meta, Objects, Source};
use crate::proof::{Finding, Verdict};
use crate::snapshot::{Diff, Names, Origin, Size, Unlisted, shown};
use crate::store::{Access, Right};
use crate::stream::Head;
use hints::Hints;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use hints::fuzz as fuzz_hints;
use index::Index;
use name::Name;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use name::fuzz as fuzz_names;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Diffs below a prefix.
#[derive(Debug)]
pub struct Diffs {
    /// Empty, or ends in a slash.
    prefix: String,
    index: Index,
    /// What `.bs` files say, by path, as far as they were fetched.
    hints: BTreeMap<String, Hints>,
    /// Those that could not be read.
    unread: BTreeSet<String>,
    remarks: Vec<String>,
}

/// A diff that is coming.
pub struct DiffDraft {
    name: Name,
    size: Size,
}

const LONGEST_KEY: usize = 1024;

impl Bucket<Diffs> {
    /// A prefix of a bucket that is made of these objects. Asks them nothing yet.
    ///
    /// # Errors
    /// If the prefix cannot be used.
    pub fn on(objects: Arc<dyn Objects>, prefix: &str, access: Access) -> Result<Bucket<Diffs>> {
        let mut prefix = prefix.trim_start_matches('/').to_owned();
        if !prefix.is_empty() && !prefix.ends_with('/') {
            prefix.push('/');
        }
        let doing = || format!("cannot use {}", objects.url(&prefix));
        if let Some(said) = refuse_folder(&prefix) {
            return Err(Error::usage(doing(), said));
        }
        if prefix.starts_with(TRASH) {
            let said = "trash/ is where --delete moves objects; copy them back first";
            return Err(Error::usage(doing(), said));
        }
        if !prefix.is_empty() && !is_path(prefix.trim_end_matches('/')) {
            let said = "no part of the prefix may be empty";
            return Err(Error::usage(doing(), said));
        }
        let layout = Diffs {
            prefix,
            index: Index::default(),
            hints: BTreeMap::new(),
            unread: BTreeSet::new(),
            remarks: Vec::new(),
        };
        Ok(Bucket::of(objects, access, layout))
    }
}

impl Layout for Diffs {
    const WORDS: Words = Words {
        piece: "part",
        links: "diffs",
        files: "keys",
    };
    const STRICT: bool = true;
    /// The file of sizes, and a look at the listing.
    const BESIDE: u64 = 2;
    type Draft = DiffDraft;

    fn folder(&self) -> &str {
        &self.prefix
    }

    fn remark(&mut self) -> Option<String> {
        let remarks = std::mem::take(&mut self.remarks);
        (!remarks.is_empty()).then(|| remarks.join("; "))
    }

    fn names(&self) -> Names {
        let trash = TRASH.trim_end_matches('/').to_owned();
        let uuids = 2 * "/01234567-89ab-cdef-0123-456789abcdef".len();
        let rest = uuids + ".all-1000-".len() + 20;
        Names {
            text: true,
            longest: Some(LONGEST_KEY.saturating_sub(rest + self.prefix.len())),
            reserved: match self.prefix.is_empty() {
                true => vec![trash],
                false => Vec::new(),
            },
        }
    }

    fn read(&mut self, reach: &Reach, found: Inventory) -> Result<()> {
        self.hints.clear();
        self.unread.clear();
        self.remarks.extend(found.remark.clone());
        self.index = Index::of(&self.prefix, found);
        let left = self.index.leftovers.values_mut();
        self.remarks
            .extend(kept::look_at_all(left, &*reach.objects)?);
        // Whoever tells of origins, or may delete, asks for them.
        match reach.told || reach.access.grants(Right::Remove) {
            true => self.fill_origins(reach),
            false => Ok(()),
        }
    }

    fn kept(&self) -> &[Kept] {
        &self.index.kept
    }

    fn leftovers(&self) -> &BTreeMap<String, UnfinishedStream> {
        &self.index.leftovers
    }

    fn unlisted(&self) -> Vec<Unlisted> {
        let path = |key: &str| {
            key.strip_prefix(&self.prefix)
                .unwrap_or_default()
                .to_owned()
        };
        let all = self.index.unread.iter();
        let unlisted = all.map(|unread| Unlisted {
            path: path(&unread.key).trim_end_matches('/').into(),
            why: unread.why.clone(),
        });
        unlisted.collect()
    }

    fn is_part(&self) -> bool {
        !self.index.unread.is_empty()
    }

    fn is_cold(&self) -> bool {
        self.index.cold().is_some()
    }

    fn notes(&mut self, _reach: &Reach) -> Result<Vec<String>> {
        let mut notes = std::mem::take(&mut self.remarks);
        notes.extend(self.unlisted().into_iter().map(|unlisted| unlisted.why));
        notes.extend(self.index.losses());
        notes.extend(self.index.foreign());
        notes.extend(self.index.cold());
        notes.extend(self.index.shared().into_iter().map(|path| {
            let path = shown(path);
            format!("several snapshots are at {path}: it cannot be deleted by that name")
        }));
        Ok(notes)
    }

    fn fetch(&mut self, reach: &Reach) -> Result<()> {
        self.fetch_hints(reach)
    }

    fn record(&mut self, reach: &Reach, kept: &Kept) -> Result<Record> {
        let hints = self.hints_read(reach, &kept.path)?;
        let bytes = hints.size(&kept.diff()).and_then(Size::bytes);
        if let Some(key) = &kept.marker {
            let marker = self.marker(reach, key, kept)?;
            return Ok(Record {
                bytes,
                whole: marker.digests(),
                etags: marker.etags,
                binding: true,
                ..Record::default()
            });
        }
        let uploaded = hints.uploaded(&kept.diff());
        let (etag, digests) = uploaded.unzip();
        Ok(Record {
            bytes,
            whole: digests.unwrap_or_default(),
            etags: etag.into_iter().collect(),
            ..Record::default()
        })
    }

    fn is_mended(&mut self, reach: &Reach, kept: &Kept) -> Result<bool> {
        if let Some(key) = &kept.marker {
            return Ok(self.marker(reach, key, kept)?.mended);
        }
        let Some(object) = kept.objects.first() else {
            return Ok(false);
        };
        let hints = self.hints_read(reach, &kept.path)?;
        if hints.is_mended(&kept.diff(), &object.etag) {
            return Ok(true);
        }
        let head = reach.objects.head(&object.key)?;
        Ok(head.is_some_and(|head| head.meta("mended") == "1"))
    }

    fn size(&mut self, reach: &Reach, diff: &Diff) -> Result<Option<Size>> {
        let near = self.index.kept.iter().filter(|kept| kept.to == diff.to);
        let paths: Vec<String> = near.map(|kept| kept.path.clone()).collect();
        for path in paths {
            if let Some(size) = self.hints_read(reach, &path)?.size(diff) {
                return Ok(Some(size));
            }
        }
        Ok(None)
    }

    /// What could not be looked at, and what was uploaded, as hints say, and is not there.
    fn absent(&mut self, reach: &Reach) -> Result<Vec<Finding>> {
        let unlisted = self.unlisted().into_iter().map(Finding::unlisted);
        let mut findings: Vec<Finding> = unlisted.collect();
        let paths: Vec<String> = self.index.hints.iter().cloned().collect();
        for path in paths {
            let here = self.index.kept.iter().filter(|kept| kept.path == path);
            let there: BTreeSet<_> = here.map(|kept| (kept.to, kept.from)).collect();
            let gone: Vec<_> = self.hints_read(reach, &path)?.all_uploaded().collect();
            for (to, from) in gone.into_iter().filter(|pair| !there.contains(pair)) {
                let from = from.map_or("None".to_owned(), |uuid| uuid.to_string());
                let key = format!("{}{path}/{to}_{from}", self.prefix);
                if self.index.unread_at(&key).is_some() {
                    continue; // that it could not be looked at has been said
                }
                let words = format!("{to}_{from} was stored and is missing");
                findings.push(Finding {
                    path: path.clone().into(),
                    id: to,
                    verdict: Verdict::Different(words),
                });
            }
        }
        Ok(findings)
    }

    fn draft(
        &mut self,
        reach: &Reach,
        diff: &Diff,
        path: &str,
        doing: &str,
    ) -> Result<(DiffDraft, Out)> {
        let name = Name {
            path: path.to_owned(),
            to: diff.to,
            from: diff.from,
        };
        self.must_be_new(&name, doing)?;
        let leftover = self.index.leftovers.get(&name.to_string());
        let target = UploadTarget {
            key: self.key(&name),
            size: diff.size,
            unfinished: leftover.map_or_else(Vec::new, |left| left.uploads.clone()),
            sha256: false,
            single: false,
        };
        let upload = Upload::new(Arc::clone(&reach.objects), target);
        let size = diff.size;
        Ok((DiffDraft { name, size }, Out::Whole(Box::new(upload))))
    }

    fn describe(&self, reach: &Reach, draft: &mut DiffDraft, head: &Head, mended: bool) -> Meta {
        let mut meta = vec![
            ("generation", head.ctransid.to_string()),
            ("protocol", head.version.to_string()),
            ("created", reach.objects.now().to_string()),
        ];
        if let Some((_, generation)) = head.parent {
            meta.push(("parent-generation", generation.to_string()));
        }
        if let Size::Exact(bytes) = draft.size {
            meta.push(("size", bytes.to_string()));
        }
        if mended {
            meta.push(("mended", "1".to_owned()));
        }
        meta
    }

    /// What remains is the marker of a split one, and the hints.
    fn keep(
        &mut self,
        reach: &Reach,
        draft: DiffDraft,
        made: Vec<Made>,
        mended: bool,
    ) -> Result<()> {
        for made in made {
            let sources = made.objects.iter().cloned().map(Source::from);
            let mut kept = draft.name.kept(sources.collect(), None);
            let objects = made.objects.iter();
            let wanted: Vec<_> = objects.map(|o| (o.key.as_str(), o.size)).collect();
            reach.must_be_listed(&self.key(&draft.name), &wanted)?;
            self.record_new(reach, &mut kept, &made, mended)?;
            self.index.leftovers.remove(&draft.name.to_string());
            self.index.kept.push(kept);
        }
        Ok(())
    }

    /// The objects, the marker last, and what is known about it.
    fn copy(&mut self, reach: &Reach, kept: &Kept, to: &str) -> Result<()> {
        let (record, mended) = (self.record(reach, kept)?, self.is_mended(reach, kept)?);
        let old = Name::of(kept);
        let name = Name {
            path: to.to_owned(),
            ..old.clone()
        };
        let (old, new) = (self.key(&old), self.key(&name));
        let moved = |key: &str| format!("{new}{}", key.strip_prefix(&old).unwrap_or_default());
        let mut copied = Vec::new();
        for object in &kept.objects {
            let key = moved(&object.key);
            let etag = reach.objects.copy(&object.key, &key)?;
            let size = object.size;
            copied.push(Source { key, size, etag });
        }
        let wanted: Vec<_> = copied.iter().map(|o| (o.key.as_str(), o.size)).collect();
        reach.must_be_listed(&new, &wanted)?;
        let mut copy = name.kept(copied, kept.created);
        if let Some(marker) = &kept.marker {
            let key = moved(marker);
            self.copy_marker(reach, &key, kept, &copy)?;
            copy.marker = Some(key);
        }
        let origin = self.hints(reach, &kept.path)?.origin(kept.to);
        let digests = match record.binding || record.is_of(kept) {
            true => record.whole,
            false => Default::default(),
        };
        self.hint(reach, &copy, &digests, mended, origin.as_ref());
        self.index.kept.push(copy);
        Ok(())
    }

    fn adopt(&mut self, reach: &Reach, path: &str, origin: &Origin) -> Result<()> {
        let kept = self.index.kept.iter().filter(|kept| kept.path == path);
        let ids: Vec<_> = kept.map(|kept| kept.to).collect();
        let mut hints = self.hints(reach, path)?;
        for id in ids {
            hints.attribute(id, origin.clone());
        }
        let (key, bytes) = (self.hints_key(path), hints.text().len() as u64);
        self.write_hints(reach, path, hints)?;
        reach.must_be_listed(&key, &[(&key, bytes)])
    }

    fn remove(&mut self, reach: &Reach, path: &str, doing: &str) -> Result<()> {
        if let Some(unread) = self.index.unread.first() {
            let said = format!("there may be what builds on it: {}", unread.why);
            return Err(Error::refused(doing, said));
        }
        let kept = || self.index.kept.iter().filter(|kept| kept.path == path);
        let mut keys: Vec<String> = kept().flat_map(Kept::keys).cloned().collect();
        let markers: Vec<String> = kept().filter_map(|kept| kept.marker.clone()).collect();
        if self.index.hints.contains(path) {
            keys.push(self.hints_key(path));
        }
        reach.trash(&markers, &keys)?;
        self.index.kept.retain(|kept| kept.path != path);
        self.index.hints.remove(path);
        self.hints.remove(path);
        Ok(())
    }

    /// A marker says that there is a stream: another run has finished it meanwhile, or a piece of it is
    /// missing, and the others are all that there is of it.
    fn must_be_left(&self, reach: &Reach, path: &str, doing: &str) -> Result<()> {
        let found = reach
            .objects
            .inventory(&format!("{}{path}.all-", self.prefix))?;
        if let Some(unread) = found.unread.first() {
            let said = format!("there may be what says that it is a stream: {}", unread.why);
            return Err(Error::refused(doing, said));
        }
        match found.objects.first() {
            None => Ok(()),
            Some(marker) => {
                let said = format!("{} says that it is a stream", shown(&marker.key));
                Err(Error::refused(doing, said).hint("send it again, or remove the marker"))
            }
        }
    }

    fn forget_leftover(&mut self, path: &str) {
        self.index.leftovers.remove(path);
    }
}

impl Diffs {
    fn key(&self, name: &Name) -> String {
        format!("{}{name}", self.prefix)
    }

    /// What may not be kept under this name, and why.
    fn must_be_new(&self, name: &Name, doing: &str) -> Result<()> {
        let refused = |said: String| Err(Error::refused(doing, said));
        if let Some(why) = self.names().refuse(Path::new(&name.path)) {
            return refused(why);
        }
        let folder = format!("{}{}/", self.prefix, name.path);
        if let Some(unread) = self.index.unread_at(&folder) {
            return refused(format!(
                "there may be something of that name: {}",
                unread.why
            ));
        }
        let mut there = self.index.kept.iter().filter(|kept| kept.path == name.path);
        if let Some(same) = there.clone().find(|kept| Name::of(kept) == *name) {
            return refused(match &same.broken {
                Some(why) => {
                    format!("what is there of that name cannot be restored: {why}; delete it")
                }
                None => "it is there already".to_owned(),
            });
        }
        if there.any(|kept| kept.to != name.to) {
            return refused("another snapshot has that name".to_owned());
        }
        let is_there = |from| {
            let mut whole = self.index.kept.iter().filter(|kept| kept.broken.is_none());
            whole.any(|kept| kept.to == from)
        };
        match name.from.filter(|from| !is_there(*from)) {
            Some(from) => refused(format!("its parent {from} is not there")),
            None => Ok(()),
        }
    }
}
