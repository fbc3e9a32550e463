//! Which lists are meant: by their names, and by a `NAME.sha256sum` that names two and proves that they
//! are the ones that were written. Looks at no tree.

use super::line;
use super::list::List;
use crate::digest::Sha256;
use crate::error::{Doing, Error, Kind, Result};
use crate::snapshot::shown;
use crate::sys::secure_open::{self, Unopened};
use crate::text::hex;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What is to be checked: lists, and the tree that they are about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// With their kinds.
    pub lists: Vec<(List, PathBuf)>,
    /// The top of the tree.
    pub dir: PathBuf,
}

impl Wanted {
    /// What these words mean: lists by their suffixes, and last the tree. Without it the tree is
    /// beside the first list and has its name. `further` lists are beside the first one too.
    ///
    /// # Errors
    /// If a word is no list, or a `.sha256sum` does not fit the lists beside it: of kind
    /// [`Kind::Different`] if one of them is not the one that was written.
    pub fn from_words(words: &[PathBuf], further: &[List]) -> Result<Wanted> {
        let (files, dir) = match words {
            [files @ .., last] if !is_list(last) || last.is_dir() => (files, Some(last)),
            files => (files, None),
        };
        let Some(first) = files.first() else {
            return Err(Error::usage("cannot check", "no list is named"));
        };
        let mut lists = Vec::new();
        for file in files {
            match list_of(file) {
                Some(list) => lists.push((list, file.clone())),
                None if is_list(file) => lists.extend(read_sums(file)?),
                None => {
                    let said = "its name does not end as that of a list";
                    return Err(Error::usage(format!("cannot check {}", shown(file)), said));
                }
            }
        }
        for list in further {
            if !lists.iter().any(|(there, _)| there == list) {
                lists.push((*list, first.with_extension(list.suffix())));
            }
        }
        let dir = dir.map_or_else(|| first.with_extension(""), Clone::clone);
        Ok(Wanted { lists, dir })
    }
}

/// As many bytes as a `.sha256sum` may have; it has two lines.
const SUMS: u64 = 64 << 10;

/// The kind of list that a file is, by its suffix.
fn list_of(path: &Path) -> Option<List> {
    let suffix = path.extension()?;
    List::ALL.into_iter().find(|list| suffix == list.suffix())
}

fn is_list(path: &Path) -> bool {
    list_of(path).is_some() || path.extension().is_some_and(|suffix| suffix == "sha256sum")
}

/// Compares the hashes in a `NAME.sha256sum` to the lists beside it, and returns those lists.
///
/// # Errors
/// If one of the files cannot be read or is not what its suffix says; of kind
/// [`Kind::Different`] if a list is not the one that was written.
fn read_sums(path: &Path) -> Result<Vec<(List, PathBuf)>> {
    let doing = || format!("cannot use {}", shown(path));
    let text = Unopened::anywhere(path).and_then(|found| secure_open::read_found(&found, SUMS));
    let text = text.doing(doing)?;
    let mut lists = Vec::new();
    for line in text.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
        lists.push(read_sum(path, line)?);
    }
    let kinds: Vec<List> = lists.iter().map(|(list, _)| *list).collect();
    if kinds != [List::Ls, List::Files] {
        let said = "it must name one .ls and one .files file, in this order";
        return Err(Error::damaged(doing(), said));
    }
    Ok(lists)
}

fn read_sum(path: &Path, line: &[u8]) -> Result<(List, PathBuf)> {
    let wrong = || {
        Error::damaged(
            format!("cannot use {}", shown(path)),
            "not a .sha256sum file",
        )
    };
    let hash = line.strip_prefix(b"\\").unwrap_or(line);
    let (hash, name) = hash.split_at_checked(64).ok_or_else(wrong)?;
    let name = name
        .strip_prefix(b"  ")
        .or(name.strip_prefix(b" *"))
        .ok_or_else(wrong)?;
    let name = if line[0] == b'\\' {
        line::Escape::Sums.undo(name)
    } else {
        name.to_vec()
    };
    let named = Path::new(OsStr::from_bytes(&name))
        .file_name()
        .ok_or_else(wrong)?;
    let beside = path.with_file_name(named);
    let list = list_of(&beside).ok_or_else(wrong)?;
    let doing = || format!("cannot read {}", shown(&beside));
    let mut hasher = Sha256::default();
    let mut file = Unopened::anywhere(&beside)
        .and_then(|found| found.open_file())
        .doing(doing)?;
    io::copy(&mut file, &mut hasher).doing(doing)?;
    let digits = hex(&hasher.finish());
    if digits.as_bytes().eq_ignore_ascii_case(hash) {
        return Ok((list, beside));
    }
    Err(Error::new(
        Kind::Different,
        format!("cannot trust {}", shown(&beside)),
        format!("it is not the file that {} was made for", shown(path)),
    ))
}
