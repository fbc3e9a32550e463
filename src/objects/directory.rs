//! Objects in a directory of any filesystem: each a file under an escaped name, with what is known of it in
//! a file beside it, as buttersink-raw(5) says. Whatever has its name is whole and on the disk. Knows files, and
//! nothing of what they hold.

mod files;
mod marker;
mod meta;
mod names;
mod unfinished;
mod verbs;
mod walk;
mod writer;

use super::{Concurrency, Counters, Limits, Source};
use crate::digest::{Algorithm, Hasher};
use crate::error::{Cause, Doing, Error, Result};
use crate::sys;
use crate::text::shown;
use files::{Files, join, split};
use marker::Marker;
use meta::Meta;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use names::fuzz as fuzz_names;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use unfinished::UNFINISHED;
use writer::FileWriter;

/// Bytes of a part, if nobody chose.
const PART: u64 = 16 << 20;
/// Parts that are written at the same time.
const THREADS: usize = 2;
/// More than any filesystem holds.
const NO_LIMIT: u64 = 1 << 60;

/// What is answered when a disk, a server or the process behind a filesystem is not there any more.
const GONE: &[i32] = &[
    libc::EIO,
    libc::ENXIO,
    libc::ENODEV,
    libc::ENOTCONN,
    libc::ECONNABORTED,
    libc::ECONNRESET,
    libc::ETIMEDOUT,
    libc::EHOSTDOWN,
    libc::EHOSTUNREACH,
    libc::ENETUNREACH,
];

/// Objects in a directory.
#[derive(Debug)]
pub struct Directory {
    /// The absolute path of the root.
    root: PathBuf,
    files: Arc<Files>,
    limits: Limits,
    counters: Counters,
    /// What is said of it in each run.
    remarks: Vec<String>,
    /// Held as long as we may write.
    writer: Option<Arc<FileWriter>>,
}

/// What an object is at the moment.
struct FoundObject {
    file: File,
    size: u64,
    etag: String,
    modified: Option<jiff::Timestamp>,
    /// What was written down of it, if that is about these bytes.
    meta: Option<Meta>,
}

impl Directory {
    /// Opens the objects that a directory, or one above it, is the root of, and says which keys are in this
    /// one: those that begin so. A directory that is empty becomes a root when it is opened to be written to. Parts
    /// have so many bytes, if somebody chose.
    ///
    /// # Errors
    /// If it is neither the place of a root nor empty, cannot be used, or another run writes to it.
    pub fn open(dir: &Path, writes: bool, part: Option<u64>) -> Result<(Directory, String)> {
        Directory::opened(dir, writes, part).map_err(with_way_out)
    }

    fn opened(dir: &Path, writes: bool, part: Option<u64>) -> Result<(Directory, String)> {
        let doing = || format!("cannot open raw:{}", shown(dir));
        let whole = std::path::absolute(dir).doing(doing)?;
        let root = marker::root(&whole).unwrap_or(&whole).to_owned();
        let mut files = Files::open(&root).map_err(|error| absent(doing(), error))?;
        let known = Marker::read(&files).doing(doing)?;
        if known.is_none() {
            must_be_empty(&files, &doing)?;
        }
        if writes && sys::is_read_only(std::os::fd::AsFd::as_fd(files.top())).doing(doing)? {
            return Err(io::Error::from_raw_os_error(libc::EROFS)).doing(doing);
        }
        let marker = match known {
            Some(marker) => marker,
            None => first(&files, writes).doing(doing)?,
        };
        files.look_at_case(marker::MARKER).doing(doing)?;
        let files = Arc::new(files);
        let writer = writes.then(|| writer::take(&files, &doing)).transpose()?;
        let mut directory = Directory {
            limits: limits(&marker, part),
            counters: Counters::default(),
            remarks: Vec::new(),
            root: root.clone(),
            files,
            writer,
        };
        if writes {
            directory.prepare().doing(doing)?;
        }
        let below = whole.strip_prefix(&root).unwrap_or(Path::new(""));
        Ok((directory, prefix(below, &doing)?))
    }

    /// Whether a directory, or one above it, is the root of objects.
    pub fn is_below_root(dir: &Path) -> bool {
        std::path::absolute(dir).is_ok_and(|dir| marker::root(&dir).is_some())
    }

    /// The root of the objects in a directory, which need not be there: that or one above it.
    pub fn root_of(dir: &Path) -> Option<&Path> {
        marker::root(dir)
    }

    /// Whether there is nothing in a directory that somebody could have put there.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn is_empty(dir: &Path) -> io::Result<bool> {
        marker::is_empty(&Files::open(dir)?)
    }

    /// What a run that did not end left half written goes; and whether directories can be written out
    /// is known.
    fn prepare(&mut self) -> io::Result<()> {
        for (name, kind) in self.files.names(UNFINISHED)? {
            if kind != libc::DT_DIR {
                self.files.remove(&join(UNFINISHED, &name))?;
            }
        }
        for (name, _) in self.files.names("")? {
            if is_draft(&name) {
                self.files.remove(&name)?;
            }
        }
        self.files.sync_dir("")?;
        if self.files.is_unsynced() {
            let root = shown(&self.root);
            self.remarks.push(format!(
                "raw:{root}: its filesystem cannot write out directories: after a power cut what was \
                 written last may be missing"
            ));
        }
        Ok(())
    }

    /// The name of a file for what is not finished.
    fn draft(&self) -> io::Result<String> {
        self.files.make_dirs(UNFINISHED)?;
        Ok(join(UNFINISHED, &format!("{:016x}", sys::random()?)))
    }

    fn path_of_meta(path: &str) -> String {
        format!("{path}{}", names::META)
    }

    /// What was written down of the object at a path, whatever became of it.
    fn meta_at(&self, path: &str) -> io::Result<Option<Meta>> {
        let text = self.files.bytes(&Self::path_of_meta(path))?;
        Ok(text.and_then(|text| Meta::parse(&text)))
    }

    /// The object with a key; `None` if there is none.
    fn look(&self, key: &str) -> io::Result<Option<FoundObject>> {
        let path = names::path(key);
        match self.look_at(&path)? {
            // Where the case of letters makes no difference, it may be another's.
            Some(found) if found.meta.as_ref().is_some_and(|meta| meta.key != key) => Ok(None),
            found => Ok(found),
        }
    }

    fn look_at(&self, path: &str) -> io::Result<Option<FoundObject>> {
        let Some(file) = self.files.read(path)? else {
            return Ok(None);
        };
        let stat = file.metadata()?;
        let modified = stat.modified().ok();
        let modified = modified.and_then(|at| jiff::Timestamp::try_from(at).ok());
        let meta = self.meta_at(path)?;
        let told = meta.as_ref().filter(|meta| meta.size == stat.len());
        let etag = match told {
            Some(meta) => meta.etag.clone(),
            None => {
                let at = modified.map_or(0, jiff::Timestamp::as_second);
                Source::etag_of_time(stat.len(), at)
            }
        };
        Ok(Some(FoundObject {
            size: stat.len(),
            etag,
            modified,
            meta,
            file,
        }))
    }

    /// A name is free, or has the object of just this key.
    fn must_be_apart(&self, path: &str, doing: &str) -> Result<()> {
        let other = self.files.other_case(path);
        let other = other.map_err(|error| explained(doing.to_owned(), error))?;
        match other {
            Some(other) => {
                let said = format!(
                    "{other} is there, and this filesystem cannot tell names apart that differ only in case"
                );
                Err(Error::refused(doing, said))
            }
            None => Ok(()),
        }
    }

    /// What is known of an object stands where its name will be.
    fn write_meta(&self, path: &str, meta: &Meta) -> io::Result<()> {
        self.files.make_dirs(split(path).0)?;
        let draft = self.draft()?;
        self.files.write_new(&draft, &meta.text())?;
        self.files.replace(&draft, &Self::path_of_meta(path))
    }

    /// What has a finished name changes only by who has the right to write.
    fn must_write(&self, verb: &str, key: &str) -> Result<()> {
        let doing = || self.doing(verb, key);
        let writer = self.writer.as_ref();
        let is_us = writer.map_or(Ok(()), |writer| writer.must_be_us(&doing));
        is_us.map_err(with_way_out)
    }

    fn wrong(&self, verb: &str, key: &str) -> impl Fn(io::Error) -> Error {
        let doing = self.doing(verb, key);
        move |error| explained(doing.clone(), error)
    }

    fn doing(&self, verb: &str, key: &str) -> String {
        let root = shown(self.root.join(names::path(key)));
        format!("cannot {verb} raw:{root}")
    }

    /// The object that is read must be the one that was listed.
    fn listed(&self, source: &Source) -> Result<FoundObject> {
        let key = &source.key;
        let found = self.look(key).map_err(self.wrong("read", key))?;
        let Some(found) = found else {
            return Err(Error::failed(self.doing("read", key), "it is missing"));
        };
        let same = source.etag.is_empty() || source.etag == found.etag;
        match same && source.size == found.size {
            true => Ok(found),
            false => {
                let said = "it was replaced while it was being read";
                Err(Error::damaged(self.doing("read", key), said))
            }
        }
    }

    /// The digest of the bytes on the disk, as ETags have it.
    fn hashed(&self, found: &mut FoundObject) -> io::Result<(String, Option<u64>)> {
        let part = found.meta.as_ref().and_then(|meta| meta.part_size);
        let mut hasher = Hasher::new(Algorithm::TreeHash, part);
        let mut buffer = vec![0; 1 << 20];
        loop {
            match found.file.read(&mut buffer)? {
                0 => return Ok((hasher.hex(), part)),
                count => hasher.update(&buffer[..count]),
            }
        }
    }
}

/// Whether a file at the top was to become one that says who writes, or what a root is. Whoever writes is alone.
fn is_draft(name: &str) -> bool {
    name.starts_with(writer::DRAFTS) || name.starts_with(marker::DRAFTS)
}

fn limits(marker: &Marker, part: Option<u64>) -> Limits {
    Limits {
        max_parts: NO_LIMIT,
        max_object: marker.max_object.unwrap_or(NO_LIMIT).max(1),
        part_size: Some(part.unwrap_or(PART)),
        concurrency: Concurrency::of(THREADS),
        class: None,
    }
}

/// The root that is made now, if something may be written, or else would be.
fn first(files: &Files, writes: bool) -> io::Result<Marker> {
    let marker = Marker::fitting(files)?;
    if writes {
        marker.make(files)?;
    }
    Ok(marker)
}

fn must_be_empty(files: &Files, doing: &dyn Fn() -> String) -> Result<()> {
    if marker::is_empty(files).doing(doing)? {
        return Ok(());
    }
    let said = format!(
        "it has no {}, and is not empty: it holds no snapshots",
        marker::MARKER
    );
    let way = "make an empty directory in it, and name that; if another program copied a bucket there, \
               buttersink-raw(5) says how it is used";
    Err(Error::refused(doing(), said).hint(way))
}

fn absent(doing: String, error: io::Error) -> Error {
    let missing = error.kind() == io::ErrorKind::NotFound;
    let error = Error::io(doing, error);
    match missing {
        true => error.hint("is it mounted? a directory that is to be a root is made by hand"),
        false => error,
    }
}

/// The beginning of keys that a directory below the root stands for. It is as it stands there, or, if it is no
/// such name, as keys have it.
fn prefix(below: &Path, doing: &dyn Fn() -> String) -> Result<String> {
    let Some(text) = below.to_str() else {
        return Err(Error::usage(doing(), "names below the root are UTF-8"));
    };
    let part = |name: &str| names::key(name).unwrap_or_else(|| name.to_owned());
    let parts: Vec<String> = text
        .split('/')
        .filter(|name| !name.is_empty())
        .map(part)
        .collect();
    Ok(parts.into_iter().map(|part| part + "/").collect())
}

/// Whether no more can be read there at all: not until it is mounted anew.
fn is_gone(error: &io::Error) -> bool {
    let gone = |number| number == libc::ESTALE || number != libc::EIO && GONE.contains(&number);
    error.raw_os_error().is_some_and(gone)
}

/// An error of the filesystem, with what to do about it.
fn explained(doing: String, error: io::Error) -> Error {
    with_way_out(Error::io(doing, error))
}

/// The same for one that has no way out yet.
fn with_way_out(error: Error) -> Error {
    let Some(Cause::Errno(number)) = error.cause else {
        return error;
    };
    let hint = match number {
        _ if error.hint.is_some() => return error,
        libc::EROFS => {
            "remount it to be written to; if nobody mounted it so, its filesystem found an error: see dmesg"
        }
        libc::ENOSPC | libc::EDQUOT => {
            "make room there, as by removing what lies in its trash/; what has arrived is gone on with"
        }
        libc::EFBIG => {
            "its filesystem holds no files so long: write a smaller max_object into .buttersink-raw"
        }
        libc::ESTALE => "the server knows the directory no more: mount it anew, and run again",
        number if GONE.contains(&number) => {
            "the disk or the server is gone or failing: see dmesg; what has arrived is gone on with"
        }
        _ => return error,
    };
    error.hint(hint)
}
