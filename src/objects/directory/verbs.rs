//! What is done to objects in a directory, one verb after the other.

use super::files::split;
use super::meta::{Meta, digest};
use super::unfinished::{self, Begun};
use super::{Directory, FoundObject, explained, names};
use crate::archive::{ArchiveState, Tier};
use crate::digest::Algorithm;
use crate::error::{Error, Result};
use crate::objects::{
    About, Cold, Counters, Head, Inventory, Keeper, Limits, Object, Objects, Part, RangeBytes,
    RemoteChecksum, Source, ThawOutcome, Unfinished, UploadedPart,
};
use crate::sys::{self, secure_open};
use crate::text::shown;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of what is read at once, as at S3.
const LONGEST: u64 = 64 << 20;

impl FoundObject {
    fn head(&self) -> Head {
        Head {
            size: self.size,
            etag: self.etag.clone(),
            class: String::new(),
            meta: self.meta.clone().unwrap_or_default().meta,
        }
    }

    fn object(&self, key: &str) -> Object {
        Object {
            key: key.to_owned(),
            size: self.size,
            etag: self.etag.clone(),
            modified: self.modified,
            class: String::new(),
        }
    }
}

impl Objects for Directory {
    fn url(&self, key: &str) -> String {
        format!("raw:{}", shown(self.path(key)))
    }

    fn keeper(&self) -> Keeper {
        Keeper::Directory
    }

    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn fetched_by(&self, key: &str) -> Vec<String> {
        let path = self.path(key).to_string_lossy().into_owned();
        vec!["cat".to_owned(), path]
    }

    fn inventory(&self, prefix: &str) -> Result<Inventory> {
        self.count();
        self.found(prefix).map_err(self.wrong("list", prefix))
    }

    fn head(&self, key: &str) -> Result<Option<Head>> {
        self.count();
        let found = self.look(key).map_err(self.wrong("look at", key))?;
        Ok(found.map(|found| found.head()))
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.count();
        let read = |found: FoundObject| {
            let mut file = found.file;
            secure_open::read_bounded(&mut file, LONGEST)
        };
        let found = self.look(key);
        let bytes = found.and_then(|found| found.map(read).transpose());
        bytes.map_err(self.wrong("read", key))
    }

    fn beginning(&self, key: &str, count: u64) -> Result<Option<Vec<u8>>> {
        self.count();
        let wrong = self.wrong("read", key);
        let found = self.look(key).map_err(&wrong)?;
        let found = found.ok_or_else(|| wrong(io::ErrorKind::NotFound.into()))?;
        let mut bytes = Vec::new();
        let read = found.file.take(count).read_to_end(&mut bytes);
        read.map_err(wrong)?;
        Ok(Some(bytes))
    }

    fn range(
        &self,
        source: &Source,
        start: u64,
        length: u64,
        mut into: Vec<u8>,
        _stop: &AtomicBool,
    ) -> Result<RangeBytes> {
        self.count();
        let found = self.listed(source)?;
        into.resize(length as usize, 0);
        let read = found.file.read_exact_at(&mut into, start);
        read.map_err(self.wrong("read", &source.key))?;
        let meta = found.meta.unwrap_or_default().meta;
        Ok(RangeBytes {
            bytes: into,
            sha256: meta.get("sha256").cloned(),
        })
    }

    fn put(&self, key: &str, bytes: &[u8], about: &About) -> Result<()> {
        self.count();
        let path = names::path(key);
        self.must_write("write", key)?;
        self.must_be_apart(&path, &self.doing("write", key))?;
        let write = || {
            self.write_meta(&path, &Meta::of(key, bytes, about))?;
            let draft = self.draft()?;
            self.files.write_new(&draft, bytes)?;
            self.files.replace(&draft, &path)
        };
        write().map_err(self.wrong("write", key))
    }

    fn create(&self, key: &str, bytes: &[u8], about: &About) -> Result<Object> {
        self.count();
        let path = names::path(key);
        self.must_write("write", key)?;
        self.must_be_apart(&path, &self.doing("write", key))?;
        let wrong = self.wrong("write", key);
        if let Some(there) = self.look(key).map_err(&wrong)? {
            let meta = there.meta.clone().unwrap_or_default();
            let same = |(name, value): &(&str, String)| {
                *name == "sha256" && meta.meta.get(*name) == Some(value)
            };
            return match about.meta.iter().any(same) && meta.etag == digest(bytes) {
                true => Ok(there.object(key)),
                false => Err(self.taken(key)),
            };
        }
        let draft = self.draft().map_err(&wrong)?;
        self.files.write_new(&draft, bytes).map_err(&wrong)?;
        self.appear(key, &draft, &Meta::of(key, bytes, about))
    }

    fn begin(&self, key: &str, part: u64, about: &About) -> Result<Unfinished> {
        self.count();
        self.must_be_apart(&names::path(key), &self.doing("write", key))?;
        let begun = Begun {
            started: self.now(),
            part_size: part,
            meta: Meta::new(key, about),
        };
        let begin = || {
            let id = format!("{:016x}", sys::random()?);
            unfinished::begin(&self.files, &id, &begun)?;
            Ok(id)
        };
        let id = begin().map_err(self.wrong("write", key))?;
        Ok(Unfinished {
            key: key.to_owned(),
            id,
            started: Some(begun.started),
            ..Unfinished::default()
        })
    }

    fn goes_on(&self, _upload: &Unfinished) -> bool {
        true
    }

    fn begun_with(&self, upload: &Unfinished) -> Result<Option<(u64, BTreeMap<String, String>)>> {
        let begun = unfinished::begun(&self.files, &upload.id);
        let begun = begun.map_err(self.wrong("go on with", &upload.key))?;
        Ok(begun.map(|begun| (begun.part_size, begun.meta.meta)))
    }

    fn parts(&self, upload: &Unfinished) -> Result<Option<Vec<UploadedPart>>> {
        self.count();
        let parts = unfinished::parts(&self.files, &upload.id);
        parts.map_err(self.wrong("go on with", &upload.key))
    }

    fn send_part(
        &self,
        upload: &Unfinished,
        part: &Part,
        known: Option<&UploadedPart>,
        stop: &AtomicBool,
    ) -> Result<(UploadedPart, bool)> {
        let (id, wrong) = (&upload.id, self.wrong("write", &upload.key));
        if stop.load(Ordering::Relaxed) {
            return Err(Error::failed(
                self.doing("write", &upload.key),
                "it was stopped",
            ));
        }
        self.count();
        let (bytes, before) = (part.bytes, part.number - 1);
        let part = unfinished::described(part);
        let at = self.begun(upload)?.part_size.saturating_mul(before);
        let same = |known: &&UploadedPart| (known.size, &known.etag) == (part.size, &part.etag);
        if let Some(known) = known.filter(same)
            && unfinished::has(&self.files, id, at, bytes).map_err(&wrong)?
        {
            return Ok((known.clone(), true));
        }
        unfinished::write(&self.files, id, at, bytes, &part).map_err(wrong)?;
        Ok((part, false))
    }

    fn complete(&self, upload: &Unfinished, parts: &[UploadedPart], new: bool) -> Result<Object> {
        self.count();
        let (key, id) = (&upload.key, &upload.id);
        let wrong = self.wrong("write", key);
        let begun = self.begun(upload)?;
        let there = unfinished::parts(&self.files, id).map_err(&wrong)?;
        let meta = begun.meta.of_parts(parts, begun.part_size);
        let meta = meta.filter(|_| are_all(parts, &there.unwrap_or_default(), begun.part_size));
        let Some(meta) = meta else {
            let said = "its parts are not those that are there";
            return Err(Error::failed(self.doing("write", key), said));
        };
        unfinished::settle(&self.files, id, meta.size).map_err(&wrong)?;
        self.must_write("write", key)?;
        if !new {
            // A piece of a stream that an earlier run made, of which nothing came.
            self.remove(std::slice::from_ref(key))?;
        } else if self.look(key).map_err(&wrong)?.is_some() {
            return Err(self.taken(key));
        }
        let object = self.appear(key, &unfinished::data_of(id), &meta)?;
        self.abort(upload)?;
        Ok(object)
    }

    fn abort(&self, upload: &Unfinished) -> Result<()> {
        self.count();
        let gone = self.files.remove_dir(&unfinished::dir_of(&upload.id));
        gone.map_err(self.wrong("give up", &upload.key))
    }

    fn copy(&self, from: &str, to: &str) -> Result<String> {
        self.count();
        let doing = format!("cannot copy {} to {}", self.url(from), self.url(to));
        self.must_write("write", to)?;
        self.must_be_apart(&names::path(to), &doing)?;
        let wrong = |error| explained(doing.clone(), error);
        let found = self.look(from).map_err(wrong)?;
        let Some(found) = found else {
            return Err(Error::failed(doing, "it is missing"));
        };
        self.copy_to(&found, from, to).map_err(wrong)?;
        match self.look(to).map_err(wrong)? {
            Some(copy) if copy.size == found.size => Ok(copy.etag),
            _ => {
                let said = "it was written, and is not there as it was written";
                Err(Error::damaged(doing, said))
            }
        }
    }

    fn remove(&self, keys: &[String]) -> Result<()> {
        for key in keys {
            self.count();
            self.must_write("remove", key)?;
            self.remove_one(key).map_err(self.wrong("remove", key))?;
        }
        Ok(())
    }

    fn remote_checksum(&self, object: &Source) -> Result<Option<RemoteChecksum>> {
        self.count();
        let mut found = self.listed(object)?;
        let hashed = self.hashed(&mut found);
        let (value, part) = hashed.map_err(self.wrong("read", &object.key))?;
        Ok(Some(RemoteChecksum {
            algorithm: Algorithm::TreeHash,
            value,
            part,
            sure: true,
        }))
    }

    fn part_count(&self, object: &Source) -> Result<(u64, Option<u64>)> {
        let count = object.etag.rsplit_once('-').map(|(_, count)| count.parse());
        Ok((count.and_then(std::result::Result::ok).unwrap_or(1), None))
    }

    fn cold(&self, keys: &[&str]) -> Result<BTreeMap<String, Cold>> {
        let mut cold = BTreeMap::new();
        for key in keys {
            if self.head(key)?.is_some() {
                let (class, state) = (String::new(), ArchiveState::Readable);
                cold.insert((*key).to_owned(), Cold { class, state });
            }
        }
        Ok(cold)
    }

    fn thaw(&self, _key: &str, _class: &str, _tier: Tier, _days: u32) -> Result<ThawOutcome> {
        Ok(ThawOutcome::NotFrozen)
    }
}

impl Directory {
    fn count(&self) {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
    }

    fn path(&self, key: &str) -> std::path::PathBuf {
        match key {
            "" => self.root.join(""),
            key => match key.strip_suffix('/') {
                Some(folder) => self.root.join(names::path(folder)).join(""),
                None => self.root.join(names::path(key)),
            },
        }
    }

    fn taken(&self, key: &str) -> Error {
        let said = "it exists with other content; another run wrote it";
        Error::refused(self.doing("write", key), said)
    }

    fn begun(&self, upload: &Unfinished) -> Result<Begun> {
        let begun = unfinished::begun(&self.files, &upload.id);
        let begun = begun.map_err(self.wrong("write", &upload.key))?;
        let gone = || Error::failed(self.doing("write", &upload.key), "what was begun is gone");
        begun.ok_or_else(gone)
    }

    /// A file that is whole and on the disk gets the name of an object, after what is known of it.
    fn appear(&self, key: &str, draft: &str, meta: &Meta) -> Result<Object> {
        let (path, wrong) = (names::path(key), self.wrong("write", key));
        self.write_meta(&path, meta).map_err(&wrong)?;
        match self.files.publish(draft, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(self.taken(key));
            }
            done => done.map_err(&wrong)?,
        }
        match self.look(key).map_err(&wrong)? {
            Some(found) if found.size == meta.size => Ok(found.object(key)),
            _ => {
                let said = "it was written, and is not there as it was written";
                Err(Error::damaged(self.doing("write", key), said))
            }
        }
    }

    /// By a second name for the same bytes, which never change; where there is no such thing, by the bytes.
    fn copy_to(&self, found: &FoundObject, from: &str, to: &str) -> io::Result<()> {
        let (from, to, draft) = (names::path(from), (to, names::path(to)), self.draft()?);
        if self.files.link(&from, &draft).is_err() {
            let mut copy = self.files.create(&draft)?;
            io::copy(&mut &found.file, &mut copy)?;
            copy.sync_all()?;
        }
        let (key, path) = (to.0, &to.1);
        let meta = found.meta.clone().filter(|meta| meta.size == found.size);
        match meta {
            Some(meta) => self.write_meta(path, &meta.moved(key))?,
            None => self.files.make_dirs(split(path).0)?,
        }
        self.files.replace(&draft, path)?;
        // A name for the same bytes as another's is not moved: it stays where it was.
        self.files.remove(&draft).map(drop)
    }

    /// The object first, since what is known of it means nothing without.
    fn remove_one(&self, key: &str) -> io::Result<()> {
        let path = names::path(key);
        if self.look(key)?.is_none() {
            return Ok(());
        }
        self.files.remove(&path)?;
        self.files.remove(&Self::path_of_meta(&path))?;
        let dir = split(&path).0;
        self.files.sync_dir(dir)?;
        self.files.prune(dir)
    }
}

/// Whether these parts are those that are there, and leave no room between them.
fn are_all(parts: &[UploadedPart], there: &[UploadedPart], part_size: u64) -> bool {
    let known = |part: &UploadedPart| (part.number, part.size, part.etag.clone());
    let numbers = parts
        .iter()
        .map(|part| part.number)
        .eq(1..=parts.len() as u64);
    let sizes = parts
        .iter()
        .rev()
        .skip(1)
        .all(|part| part.size == part_size);
    numbers && sizes && parts.iter().map(known).eq(there.iter().map(known))
}
