//! Snapshots as diffs below a prefix of a bucket, under keys that ButterSink reads and wrote.
//! Knows the layout; how bytes come and go is the client's business.

mod abreast;
mod chains;
mod change;
mod compare;
mod hints;
mod index;
mod inspect;
mod layout;
mod records;
mod sink;

use super::keys::path_text;
use super::{Access, Effort, Sink, Store};
use crate::error::{Error, Result};
use crate::proof::{Depth, Finding, Verdict};
use crate::s3::download::Download;
use crate::s3::objects::Inventory;
use crate::s3::upload::{Target, Upload};
use crate::s3::{Client, S3Options};
use crate::snapshot::{Diff, Listing, Origin, Origins, Sizes, Snapshot, State, shown};
use crate::stream::Watch;
use hints::Hints;
use index::{Index, Kept, Leftover, TRASH};
use jiff::Timestamp;
use layout::Name;
use sink::S3Sink;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// A prefix of a bucket.
#[derive(Debug)]
pub struct S3Store {
    client: Arc<Client>,
    /// Empty, or ends in a slash.
    prefix: String,
    access: Access,
    index: Option<Index>,
    /// A listing that was made for this and other stores, until it is used.
    found: Option<Inventory>,
    hints: BTreeMap<String, Hints>,
    remarks: Vec<String>,
    /// What is going to be received is of, if somebody told.
    coming: Origins,
    told: bool,
}

const LONGEST_KEY: usize = 1024;

impl S3Store {
    /// Opens a prefix. Asks the bucket nothing yet.
    ///
    /// # Errors
    /// If there are no credentials, or the location or the configuration cannot be used.
    pub fn open(bucket: &str, prefix: &str, access: Access, options: S3Options) -> Result<S3Store> {
        let mut prefix = prefix.trim_start_matches('/').to_owned();
        if !prefix.is_empty() && !prefix.ends_with('/') {
            prefix.push('/');
        }
        let doing = || format!("cannot use s3://{bucket}/{}", shown(&prefix));
        if prefix.starts_with(TRASH) {
            let said = "trash/ is where --delete moves objects; copy them back first";
            return Err(Error::usage(doing(), said));
        }
        if !prefix.is_empty() && !layout::is_path(prefix.trim_end_matches('/')) {
            return Err(Error::usage(
                doing(),
                "no part of the prefix may be empty, '.' or '..'",
            ));
        }
        Ok(S3Store {
            client: Arc::new(Client::new(bucket, options)?),
            prefix,
            access,
            index: None,
            found: None,
            hints: BTreeMap::new(),
            remarks: Vec::new(),
            coming: Origins::new(),
            told: false,
        })
    }

    /// What all its keys begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Lists the bucket now, for this store and others; it serves for this one's first reading.
    ///
    /// # Errors
    /// If the bucket cannot be listed.
    pub fn inventory(&mut self) -> Result<&Inventory> {
        let found = self.client.inventory(&self.prefix)?;
        Ok(self.found.insert(found))
    }

    /// The client, whose counters tell what was done.
    pub fn client(&self) -> &Client {
        &self.client
    }

    fn location(&self) -> String {
        self.client.url(&self.prefix)
    }

    fn index(&mut self) -> Result<&mut Index> {
        if self.index.is_none() {
            let found = match self.found.take() {
                Some(found) => found,
                None => self.client.inventory(&self.prefix)?,
            };
            self.remarks.extend(found.remark);
            self.index = Some(Index::of(&self.prefix, found.objects, found.uploads));
        }
        Ok(self.index.get_or_insert_default())
    }

    fn need(&self, access: Access, doing: &str) -> Result<()> {
        self.access.must_allow(access, &self.location(), doing)
    }

    /// The part of keys that names the snapshot.
    fn key_path(&self, path: &Path) -> Result<String> {
        let doing = format!("cannot keep {} in {}", shown(path), self.location());
        path_text(path, doing)
    }

    /// How much of an unfinished upload is there, and when something last arrived.
    fn arrived(&self, leftover: &Leftover) -> Result<(u64, Option<Timestamp>)> {
        let mut bytes: u64 = leftover.pieces.iter().map(|piece| piece.size).sum();
        let mut latest = leftover.latest();
        for upload in &leftover.uploads {
            let (more, when) = self.client.arrived(upload)?;
            (bytes, latest) = (bytes + more, latest.max(when));
        }
        Ok((bytes, latest))
    }

    /// What snapshots are of, as their hints say: whoever tells of origins, or may delete, asks for it.
    fn fill_origins(&mut self, snapshots: &mut [Snapshot]) -> Result<()> {
        self.fetch_hints()?;
        for snapshot in snapshots.iter_mut().filter(|s| s.state == State::Ok) {
            let hints = snapshot.path.to_str().and_then(|path| self.hints.get(path));
            snapshot.origin = hints.and_then(|hints| hints.origin(snapshot.uuid));
        }
        Ok(())
    }

    /// The same in words.
    fn leftover_note(&self, name: &Name, leftover: &Leftover, bytes: u64) -> String {
        let now = (self.client.options.now)();
        let age = leftover
            .started()
            .map(|start| crate::text::duration(now.duration_since(start)));
        let age = age.map_or(String::new(), |age| format!(", begun {age} ago"));
        format!(
            "unfinished upload of {}{age}: {bytes} bytes are there",
            shown(name.to_string())
        )
    }
}

impl Store for S3Store {
    fn list(&mut self) -> Result<Listing> {
        self.index = None;
        self.hints.clear();
        let index = self.index()?.clone();
        let mut notes = std::mem::take(&mut self.remarks);
        notes.extend(index.foreign());
        notes.extend(index.shared().into_iter().map(|path| {
            format!(
                "several snapshots are at {}: it cannot be deleted by that name",
                shown(path)
            )
        }));
        let mut snapshots = index.snapshots();
        if self.told || self.access >= Access::Write {
            self.fill_origins(&mut snapshots)?;
        }
        for (name, leftover) in &index.leftovers {
            let (bytes, latest) = self.arrived(leftover)?;
            notes.push(self.leftover_note(name, leftover, bytes));
            let path = name.to_string();
            let mut entries = snapshots.iter_mut().filter(|s| s.state == State::Partial);
            if let Some(entry) = entries.find(|entry| entry.path == Path::new(&path)) {
                entry.referenced = Some(bytes);
                entry.created = latest.map(Timestamp::as_second);
            }
        }
        Ok(Listing {
            location: self.location(),
            snapshots,
            offer: index.offer(),
            free: None,
            partial: false,
            notes,
        })
    }

    fn measure(&mut self, diffs: &[Diff]) -> Result<Sizes> {
        let mut sizes = Sizes::new();
        for diff in diffs {
            let index = self.index()?;
            let mut found = index.find(diff).map(|kept| kept.diff().size);
            let kept = index.kept.iter().filter(|kept| kept.name.to == diff.to);
            let paths: Vec<String> = kept.map(|kept| kept.name.path.clone()).collect();
            for path in paths {
                if found.is_none() {
                    found = self.hints(&path)?.size(diff);
                }
            }
            let size = found.ok_or_else(|| {
                let from = diff
                    .from
                    .map_or("nothing".to_owned(), |uuid| uuid.to_string());
                let doing = format!("cannot measure the diff from {from} to {}", diff.to);
                Error::failed(
                    doing,
                    format!("{} neither has it nor knows its size", self.location()),
                )
            })?;
            sizes.insert(diff.pair(), size.into());
        }
        Ok(sizes)
    }

    fn send(&mut self, diff: &Diff) -> Result<Box<dyn Read + '_>> {
        let Some(kept) = self.index()?.find(diff).cloned() else {
            let from = diff
                .from
                .map_or("nothing".to_owned(), |uuid| uuid.to_string());
            let doing = format!("cannot send the diff from {from} to {}", diff.to);
            return Err(Error::failed(
                doing,
                format!("{} does not have it", self.location()),
            ));
        };
        let recorded = self.recorded(&kept)?;
        Ok(Box::new(Download::new(
            Arc::clone(&self.client),
            kept.objects,
            recorded,
        )))
    }

    fn attribute(&mut self, origins: Origins) {
        (self.coming, self.told) = (origins, true);
    }

    fn mends(&mut self, diff: &Diff) -> Result<bool> {
        match self.index()?.find(diff).cloned() {
            Some(kept) => Ok(self.recorded_all(&kept)?.mended),
            None => Ok(false),
        }
    }

    fn receive(&mut self, diff: &Diff, path: &Path) -> Result<Box<dyn Sink + '_>> {
        let doing = format!("cannot receive {} into {}", shown(path), self.location());
        self.need(Access::Append, &doing)?;
        let name = Name {
            path: self.key_path(path)?,
            to: diff.to,
            from: diff.from,
        };
        let key = format!("{}{name}", self.prefix);
        if key.len() > LONGEST_KEY - ".all-1000-".len() - 20 {
            return Err(Error::refused(
                doing,
                "the path is too long for a key (about 900 bytes)",
            ));
        }
        let index = self.index()?;
        if index.kept.iter().any(|kept| kept.name == name) {
            return Err(Error::refused(doing, "it is there already"));
        }
        let mut others = index.kept.iter().map(|kept| &kept.name);
        if others.any(|other| other.path == name.path && other.to != name.to) {
            return Err(Error::refused(doing, "another snapshot has that name"));
        }
        if let Some(from) = diff.from
            && !index.kept.iter().any(|kept| kept.name.to == from)
        {
            return Err(Error::refused(
                doing,
                format!("its parent {from} is not there"),
            ));
        }
        let leftover = index.leftovers.get(&name).cloned().unwrap_or_default();
        let target = Target {
            key,
            size: diff.size,
            unfinished: leftover.uploads,
            sha256: false,
        };
        let upload = Upload::new(Arc::clone(&self.client), target)?;
        let watch = Watch::default();
        Ok(Box::new(S3Sink {
            store: self,
            upload,
            name,
            size: diff.size,
            watch,
            mended: false,
        }))
    }

    fn copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        let doing = format!(
            "cannot copy {} to {} in {}",
            shown(from),
            shown(to),
            self.location()
        );
        self.need(Access::Append, &doing)?;
        let (from, to) = (self.key_path(from)?, self.key_path(to)?);
        let index = self.index()?;
        if !index.at(&to).is_empty() {
            return Err(Error::refused(doing, "that name is taken"));
        }
        let sources: Vec<Kept> = index.at(&from).into_iter().cloned().collect();
        if sources.is_empty() {
            return Err(Error::failed(doing, "it is not there"));
        }
        for kept in sources {
            self.copy_diff(&kept, &to)?;
        }
        Ok(())
    }

    fn effort(&self, diffs: &[Diff]) -> Option<Effort> {
        let mut sum = Effort::default();
        for diff in diffs {
            let (requests, parts) = Upload::effort(&self.client, diff.size)?;
            sum.requests += requests;
            sum.parts += parts;
        }
        Some(sum)
    }

    fn delete(&mut self, path: &Path) -> Result<()> {
        let doing = format!("cannot delete {} in {}", shown(path), self.location());
        self.need(Access::Write, &doing)?;
        let path = self.key_path(path)?;
        let index = self.index()?;
        let kept: Vec<Kept> = index.at(&path).into_iter().cloned().collect();
        if kept.iter().any(|one| one.name.to != kept[0].name.to) {
            return Err(Error::refused(
                doing,
                "several snapshots have this name: remove keys by hand",
            ));
        }
        if !kept.is_empty() {
            return self.trash(&path, &kept);
        }
        let mut leftovers = index.leftovers.iter();
        match leftovers.find(|(name, _)| name.to_string() == path) {
            Some((name, leftover)) => {
                let (name, leftover) = (name.clone(), leftover.clone());
                self.remove_leftover(&name, &leftover)
            }
            None => Err(Error::failed(doing, "it is not there")),
        }
    }

    fn adopt(&mut self, path: &Path, origin: &Origin) -> Result<()> {
        let doing = format!("cannot adopt {} in {}", shown(path), self.location());
        self.need(Access::Write, &doing)?;
        let path = self.key_path(path)?;
        let kept = self.index()?.at(&path);
        let ids: Vec<_> = kept.iter().map(|kept| kept.name.to).collect();
        let mut hints = self.hints(&path)?;
        ids.into_iter()
            .for_each(|id| hints.attribute(id, origin.clone()));
        let key = format!("{}{path}.bs", self.prefix);
        self.client.put(&key, hints.text().as_bytes(), Vec::new())?;
        self.hints.insert(path, hints);
        Ok(())
    }

    fn inspect(&mut self, depth: Depth, watch: &mut dyn FnMut(&str)) -> Result<Vec<Finding>> {
        self.inspect_all(depth, watch)
    }

    fn compare(
        &mut self,
        path: &Path,
        diff: &Diff,
        stream: &mut dyn Read,
    ) -> Result<Option<Verdict>> {
        let path = self.key_path(path)?;
        let there = self.index()?.at(&path);
        let same = |kept: &&&Kept| (kept.name.to, kept.name.from) == (diff.to, diff.from);
        let kept = there.iter().find(same).map(|kept| (*kept).clone());
        kept.map(|kept| self.compare_with(&kept, stream))
            .transpose()
    }
}
