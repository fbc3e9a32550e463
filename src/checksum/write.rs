//! Writes the lists of a tree, so that they exist all together or not at all. Knows the names of files,
//! and of their lines only the order.

use super::hash::hash_files;
use super::line;
use super::list::{HashedTree, List, ListFile};
use super::walk::{self, UnreadEntry};
use super::{ChecksumOptions, WorkCounters, go_on};
use crate::digest::Sha256;
use crate::error::{Doing, Error, Result};
use crate::snapshot::shown;
use crate::text::hex;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What [`write_lists`] wrote.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The tree's name, which the files' names begin with.
    pub name: String,
    /// Entries below the top.
    pub entries: u64,
    /// Regular files.
    pub files: u64,
    /// SHA-256 of each list by its suffix, in hexadecimal digits.
    pub sha256: Vec<(String, String)>,
    /// What could not be read, and so is missing from the lists.
    pub errors: Vec<Error>,
}

impl Written {
    /// Nothing, of this tree, and why.
    pub fn not(dir: &Path, error: Error) -> Written {
        Written {
            name: shown(dir),
            errors: vec![error],
            ..Written::default()
        }
    }
}

/// Where lists go.
pub enum ListTarget<'a> {
    /// Into `NAME.ls` and so on in this directory.
    Directory(&'a Path),
    /// To a writer, one after the other; only the named one (`ls`, …, `sha256sum`) if there is one.
    Stream(&'a mut dyn Write, Option<ListFile>),
}

/// The names of the lists of some directories: the last part of each path as it was given.
///
/// # Errors
/// If a directory has none, as `/`, or two have the same.
pub fn names_of(dirs: &[PathBuf]) -> Result<Vec<OsString>> {
    let mut names: Vec<OsString> = Vec::new();
    for dir in dirs {
        let name = name_of(dir)?;
        if let Some(at) = names.iter().position(|there| *there == name) {
            let (one, two) = (shown(&dirs[at]), shown(dir));
            return Err(Error::usage(
                format!("cannot write the lists of {one} and {two}"),
                "both have one name: run once for each, with -o DIR",
            ));
        }
        names.push(name);
    }
    Ok(names)
}

fn name_of(dir: &Path) -> Result<OsString> {
    let doing = || format!("cannot read {}", shown(dir));
    let canonical = dir.canonicalize().doing(doing)?;
    match dir.file_name().or_else(|| canonical.file_name()) {
        Some(name) => Ok(name.to_owned()),
        None => Err(Error::usage(doing(), "it has no name to give to the lists")),
    }
}

/// Writes the lists of the tree at `dir`, and `NAME.sha256sum` of the two classic ones.
///
/// Files are written under temporary names and renamed when all of them are complete.
///
/// # Errors
/// If `dir` cannot be opened, or contains the target directory, or a list cannot be written, or a
/// signal asks to stop; nothing is left then of lists on their way.
/// What could not be read below `dir` is in [`Written::errors`].
pub fn write_lists(
    dir: &Path,
    further: &[List],
    target: ListTarget<'_>,
    options: &ChecksumOptions,
    progress: &WorkCounters,
) -> Result<Written> {
    let name = name_of(dir)?;
    if let ListTarget::Directory(out) = target {
        refuse_inside(dir, out)?;
    }
    let tree = walk::walk(dir, progress)?;
    let hashes = hash_files(&tree, options.threads, progress)?;
    let source = HashedTree {
        tree: &tree,
        hashes: &hashes,
    };
    let mut written = Written {
        name: shown(&name),
        entries: tree.indices().len() as u64,
        files: tree.files as u64,
        ..Written::default()
    };
    let mut out = ListsOut::new(target, name);
    for list in List::ALL {
        if list.is_classic() || further.contains(&list) {
            let unread = out.list(&source, list)?;
            written
                .errors
                .extend(unread.into_iter().map(|unread| unread.error));
        }
    }
    written.sha256 = out.finish()?;
    let unread = tree.unread.into_iter().chain(hashes.unread);
    written
        .errors
        .splice(0..0, unread.map(|unread| unread.error));
    Ok(written)
}

/// Lists inside the tree that they describe would change it.
fn refuse_inside(dir: &Path, out: &Path) -> Result<()> {
    let cannot = |path: &Path| format!("cannot read {}", shown(path));
    let top = fs::metadata(dir).doing(|| cannot(dir))?;
    let full = out.canonicalize().doing(|| cannot(out))?;
    for above in full.ancestors() {
        let meta = fs::metadata(above).doing(|| cannot(above))?;
        if (meta.dev(), meta.ino()) == (top.dev(), top.ino()) {
            return Err(Error::usage(
                format!(
                    "cannot write the lists of {} into {}",
                    shown(dir),
                    shown(full)
                ),
                "that is inside it, and would change it: run from elsewhere, or give -o DIR",
            ));
        }
    }
    Ok(())
}

/// Lists on their way.
struct ListsOut<'a> {
    target: ListTarget<'a>,
    name: OsString,
    drafts: Vec<UnnamedList>,
    sums: Vec<(List, [u8; 32])>,
}

impl<'a> ListsOut<'a> {
    fn new(target: ListTarget<'a>, name: OsString) -> Self {
        ListsOut {
            target,
            name,
            drafts: Vec::new(),
            sums: Vec::new(),
        }
    }

    fn file_name(&self, suffix: &str) -> OsString {
        let mut name = self.name.clone();
        name.push(".");
        name.push(suffix);
        name
    }

    fn list(&mut self, source: &HashedTree<'_>, list: List) -> Result<Vec<UnreadEntry>> {
        let suffix = list.suffix();
        let mut hasher = Sha256::default();
        let unread = self.write(ListFile::Of(list), |to| {
            source.lines(list, &mut |line| {
                go_on("cannot write all lists")?;
                hasher.update(line);
                hasher.update(b"\n");
                let written = to.write_all(line).and_then(|()| to.write_all(b"\n"));
                written.doing(|| format!("cannot write the .{suffix} file"))
            })
        })?;
        self.sums.push((list, hasher.finish()));
        Ok(unread)
    }

    fn write<T>(
        &mut self,
        file: ListFile,
        fill: impl FnOnce(&mut dyn Write) -> Result<T>,
    ) -> Result<T> {
        let name = self.file_name(file.suffix());
        match &mut self.target {
            ListTarget::Stream(to, only) if only.is_none_or(|only| only == file) => fill(*to),
            ListTarget::Stream(..) => fill(&mut io::sink()),
            ListTarget::Directory(dir) => {
                let (draft, result) = UnnamedList::write(dir, &name, fill)?;
                self.drafts.push(draft);
                Ok(result)
            }
        }
    }

    /// Writes `NAME.sha256sum`, and gives all drafts their names.
    fn finish(mut self) -> Result<Vec<(String, String)>> {
        let mut text = Vec::new();
        for (list, sum) in self.sums.iter().filter(|(list, _)| list.is_classic()) {
            line::sum(&mut text, sum, self.file_name(list.suffix()).as_bytes());
            text.push(b'\n');
        }
        self.write(ListFile::Sums, |to| {
            to.write_all(&text)
                .doing(|| "cannot write the .sha256sum file".to_owned())
        })?;
        if let ListTarget::Stream(to, _) = &mut self.target {
            to.flush().doing(|| "cannot write".to_owned())?;
        }
        go_on("cannot write all lists")?;
        for draft in &mut self.drafts {
            draft.publish()?;
        }
        let sums = self.sums.iter();
        Ok(sums
            .map(|(list, sum)| (list.suffix().to_owned(), hex(sum)))
            .collect())
    }
}

/// A file that does not have its name yet. Drop means abort.
struct UnnamedList {
    temporary: PathBuf,
    path: PathBuf,
    published: bool,
}

impl UnnamedList {
    fn write<T>(
        dir: &Path,
        name: &OsStr,
        fill: impl FnOnce(&mut dyn Write) -> Result<T>,
    ) -> Result<(UnnamedList, T)> {
        let path = dir.join(name);
        let doing = || format!("cannot write {}", shown(&path));
        let extension = path.extension().unwrap_or_default().display();
        let temporary = format!(".checksumdir-{}.{extension}.part", std::process::id());
        let temporary = dir.join(temporary);
        let file = File::create_new(&temporary).doing(doing)?;
        let draft = UnnamedList {
            temporary,
            path: path.clone(),
            published: false,
        };
        let mut writer = BufWriter::with_capacity(256 << 10, file);
        let result = fill(&mut writer)?;
        let file = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .doing(doing)?;
        file.sync_all().doing(doing)?;
        Ok((draft, result))
    }

    fn publish(&mut self) -> Result<()> {
        let doing = || format!("cannot write {}", shown(&self.path));
        fs::rename(&self.temporary, &self.path).doing(doing)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for UnnamedList {
    fn drop(&mut self) {
        if !self.published {
            // Nothing more can be done about it, and the error that led here is on its way.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
