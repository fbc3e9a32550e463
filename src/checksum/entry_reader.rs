//! Looks at entries of a tree by their paths, in no other place than below one open directory: no
//! symbolic link is followed on the way. Two trees are the same where two such looks are.
//! Knows neither who asks nor what the answers are held against.

use super::WorkCounters;
use super::entry::{Entry, Found, SeenEntry};
use super::queue::{Job, Queue};
use super::read::{self, Quiet};
use super::walk::joined;
use crate::btrfs::STAND_IN;
use crate::digest::{Sha256, sha256};
use crate::sys::at::open_within;
use crate::sys::dir::{self, Stat};
use crate::sys::{page_cache, quiet_thread};
use crate::text::hex;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Files are digested in blocks of this length; those of zeros are left out, be they holes or not.
const BLOCK: usize = 64 << 10;
/// Longer paths are gone along piece by piece.
const LONGEST_PATH: usize = 4000;
/// How many entries a thread takes at a time.
const SOME: usize = 64;

/// What is read of an entry.
#[derive(Clone, Copy, Debug)]
pub struct EntryReading {
    /// Threads that read and compute.
    pub threads: usize,
    /// Clean pages of each file are dropped before it is read, so that the disk is.
    pub from_disk: bool,
}

/// Looks at each of these paths; an empty one is the top. What cannot be read is said in its place,
/// and after a signal to stop everything is unread.
pub fn look(
    top: BorrowedFd,
    paths: Vec<PathBuf>,
    how: EntryReading,
    progress: &WorkCounters,
) -> Vec<SeenEntry> {
    let found = Mutex::new(vec![(Found::Nothing, None); paths.len()]);
    let next = AtomicUsize::new(0);
    let attributes = || {
        quiet_thread();
        loop {
            let start = next.fetch_add(SOME, Relaxed);
            let end = paths.len().min(start + SOME);
            let Some(some) = paths.get(start..end).filter(|some| !some.is_empty()) else {
                return;
            };
            let mut place = OpenParent::at(top);
            let some: Vec<_> = some.iter().map(|path| place.found(path)).collect();
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found[start..end].clone_from_slice(&some);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..how.threads.clamp(1, paths.len().div_ceil(SOME).max(1)) {
            scope.spawn(attributes);
        }
    });
    progress.entries.fetch_add(paths.len() as u64, Relaxed);
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    contents(top, paths, found, how, progress)
}

/// Reads the regular files among what was found.
fn contents(
    top: BorrowedFd,
    paths: Vec<PathBuf>,
    found: Vec<(Found, Option<Job>)>,
    how: EntryReading,
    progress: &WorkCounters,
) -> Vec<SeenEntry> {
    let (found, jobs): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    let number = |(job, number): (Option<Job>, u32)| Some(Job { number, ..job? });
    let queue = Queue::new(jobs.into_iter().zip(0..).filter_map(number), progress);
    let found = Mutex::new(found);
    queue.share(how.threads, |next| {
        quiet_thread();
        let mut buffer = vec![0; BLOCK];
        while let Some(number) = next() {
            let sum = sum(top, &paths[number as usize], how, &mut buffer, progress);
            progress.files.fetch_add(1, Relaxed);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            let found = &mut found[number as usize];
            match (sum, &mut *found) {
                (Ok(sum), Found::Entry(entry)) => entry.sum = sum,
                (Ok(_), _) => {}
                (Err(error), _) => *found = Found::Unread(error.to_string()),
            }
        }
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let seen = |(path, found)| match &found {
        Found::Entry(entry) if is_unsummed(entry) => SeenEntry {
            path,
            found: Found::Unread("interrupted".to_owned()),
        },
        _ => SeenEntry { path, found },
    };
    paths.into_iter().zip(found).map(seen).collect()
}

fn is_unsummed(entry: &Entry) -> bool {
    u32::from(entry.mode) & libc::S_IFMT == libc::S_IFREG && entry.sum.is_empty()
}

/// The digest of a file's blocks, with the place of each, and of its length.
fn sum(
    top: BorrowedFd,
    path: &Path,
    how: EntryReading,
    buffer: &mut [u8],
    progress: &WorkCounters,
) -> io::Result<String> {
    let file = open(top, path.as_os_str().as_bytes(), read::FLAGS)?;
    if how.from_disk {
        page_cache::advise(file.as_fd(), 0, 0, libc::POSIX_FADV_DONTNEED);
    }
    let mut file = Quiet::new(file)?;
    let mut hasher = Sha256::default();
    loop {
        let start = file.position();
        let data = file.data()? / BLOCK as u64 * BLOCK as u64;
        file.skip_to(data.max(start));
        let place = file.position();
        let length = file.fill(buffer)?;
        progress
            .bytes
            .fetch_add(place + length as u64 - start, Relaxed);
        if buffer[..length].iter().any(|&byte| byte != 0) {
            hasher.update(&place.to_le_bytes());
            hasher.update(&buffer[..length]);
        }
        if length < buffer.len() {
            hasher.update(&(place + length as u64).to_le_bytes());
            return Ok(hex(&hasher.finish()));
        }
    }
}

/// Opens what is at a path, piece by piece where it is long.
fn open(top: BorrowedFd, path: &[u8], flags: i32) -> io::Result<OwnedFd> {
    let once = |dir: BorrowedFd, path: &[u8], flags| open_within(dir, path, flags, 0);
    let (mut rest, mut dir) = (path, None::<OwnedFd>);
    while rest.len() > LONGEST_PATH {
        let cut = rest[..LONGEST_PATH].iter().rposition(|&byte| byte == b'/');
        let cut = cut.ok_or_else(|| io::Error::from_raw_os_error(libc::ENAMETOOLONG))?;
        let from = dir.as_ref().map_or(top, |dir| dir.as_fd());
        dir = Some(once(from, &rest[..cut], libc::O_PATH | libc::O_DIRECTORY)?);
        rest = &rest[cut + 1..];
    }
    let from = dir.as_ref().map_or(top, |dir| dir.as_fd());
    match once(from, rest, flags) {
        Err(e) if e.raw_os_error() == Some(libc::EPERM) && flags & libc::O_NOATIME != 0 => {
            once(from, rest, flags & !libc::O_NOATIME)
        }
        other => other,
    }
}

/// The directory of the entry that was looked at last: its neighbours come next.
struct OpenParent<'t> {
    top: BorrowedFd<'t>,
    dir: Vec<u8>,
    open: Option<OwnedFd>,
}

impl<'t> OpenParent<'t> {
    fn at(top: BorrowedFd<'t>) -> Self {
        OpenParent {
            top,
            dir: Vec::new(),
            open: None,
        }
    }

    /// What is at a path, and the work that is left if it is a regular file.
    fn found(&mut self, path: &Path) -> (Found, Option<Job>) {
        let gone =
            |error: &io::Error| matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR));
        match self.entry(path.as_os_str().as_bytes()) {
            Ok(found) => found,
            // A link on the way: what the path named is not there.
            Err(error) if gone(&error) || error.raw_os_error() == Some(libc::ELOOP) => {
                (Found::Nothing, None)
            }
            Err(error) => (Found::Unread(error.to_string()), None),
        }
    }

    fn entry(&mut self, path: &[u8]) -> io::Result<(Found, Option<Job>)> {
        let (dir, name) = match path.iter().rposition(|&byte| byte == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&b""[..], path),
        };
        let dir = self.go(dir)?;
        let stat = dir::stat_at(dir, name)?;
        let kind = u32::from(stat.mode) & libc::S_IFMT;
        if kind == libc::S_IFDIR && stat.ino == STAND_IN {
            return Ok((Found::Nothing, None));
        }
        let name = if name.is_empty() { b"." } else { name };
        let mut entry = attributes(&stat, kind);
        for (name, value) in dir::xattrs_at(dir, name)? {
            let name = crate::snapshot::shown(OsStr::from_bytes(&name));
            entry.xattrs.insert(name, short(&value));
        }
        match kind {
            libc::S_IFLNK => {
                let target = dir::read_link_at(dir, name)?;
                // A page of long ones would be too long.
                entry.target = match target.len() <= 1000 {
                    true => OsStr::from_bytes(&target).into(),
                    false => short(&target).into(),
                };
            }
            libc::S_IFDIR => entry.sum = names(dir, name)?,
            _ => {}
        }
        let job = (kind == libc::S_IFREG).then_some(Job {
            number: 0,
            size: stat.size,
            dev: stat.dev,
            ino: stat.ino,
        });
        Ok((Found::Entry(Box::new(entry)), job))
    }

    fn go(&mut self, dir: &[u8]) -> io::Result<BorrowedFd<'_>> {
        if self.dir != dir || self.open.is_none() {
            let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
            self.open = None;
            self.open = Some(open(self.top, dir, flags)?);
            self.dir = dir.to_vec();
        }
        Ok(self.open.as_ref().map_or(self.top, |open| open.as_fd()))
    }
}

fn attributes(stat: &Stat, kind: u32) -> Entry {
    let only = |kinds: &[u32], number: u64| if kinds.contains(&kind) { number } else { 0 };
    Entry {
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        mtime: (stat.mtime, stat.nsec),
        size: only(&[libc::S_IFREG], stat.size),
        names: if kind == libc::S_IFDIR { 0 } else { stat.nlink },
        device: only(&[libc::S_IFBLK, libc::S_IFCHR], stat.rdev),
        ..Entry::default()
    }
}

/// The digest of the names in a directory, those of nested subvolumes' places left out.
fn names(dir: BorrowedFd, name: &[u8]) -> io::Result<String> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let dir = dir::open_at(dir, name, flags)?;
    let mut all = Vec::new();
    dir::read_dir(dir.as_fd(), |_, kind, name| {
        let stub = |stat: Stat| stat.ino == STAND_IN;
        let place = kind == libc::DT_DIR && dir::stat_at(dir.as_fd(), name).is_ok_and(stub);
        if !place {
            all.push(name.to_vec());
        }
    })?;
    all.sort_unstable();
    Ok(hex(&sha256(&all.join(&b'/'))))
}

fn short(value: &[u8]) -> String {
    hex(&sha256(value)[..16])
}

/// Names in a directory, and whether each is one itself.
type Children = std::vec::IntoIter<(Vec<u8>, bool)>;

/// All paths of a tree, page after page: the top, and below each directory what is in it.
#[derive(Debug)]
pub struct PathPages {
    /// Directories on the way, each with what of it is still to come.
    stack: Vec<(Vec<u8>, Children)>,
    begun: bool,
    unread: HashMap<PathBuf, String>,
}

impl PathPages {
    /// Of the whole tree.
    pub fn all() -> PathPages {
        PathPages {
            stack: Vec::new(),
            begun: false,
            unread: HashMap::new(),
        }
    }

    /// The directories since this was last asked that could not be read, and why: what is in them did not come, and
    /// whoever looks at them a moment later may see nothing wrong.
    pub fn unread(&mut self) -> HashMap<PathBuf, String> {
        std::mem::take(&mut self.unread)
    }

    /// The next path; `None` at the end.
    pub fn next(&mut self, top: BorrowedFd) -> Option<PathBuf> {
        if !std::mem::replace(&mut self.begun, true) {
            self.enter(top, Vec::new());
            return Some(PathBuf::new());
        }
        loop {
            let (dir, children) = self.stack.last_mut()?;
            let Some((name, is_dir)) = children.next() else {
                self.stack.pop();
                continue;
            };
            let path = joined(dir, &name);
            if is_dir {
                self.enter(top, path.clone());
            }
            return Some(OsStr::from_bytes(&path).into());
        }
    }

    fn enter(&mut self, top: BorrowedFd, path: Vec<u8>) {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let mut found = Vec::new();
        let each = |inode, kind, name: &[u8]| found.push((inode, name.to_vec(), kind));
        let read = open(top, &path, flags).and_then(|dir| dir::read_dir(dir.as_fd(), each));
        if let Err(error) = read {
            let path = OsStr::from_bytes(&path).into();
            self.unread.insert(path, error.to_string());
        }
        found.sort_unstable();
        let children: Vec<_> = found
            .into_iter()
            .map(|(_, name, kind)| (name, kind == libc::DT_DIR))
            .collect();
        self.stack.push((path, children.into_iter()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// It is there again when somebody looks at it.
    #[test]
    fn what_could_not_be_read_once_is_told() {
        let name = format!("buttersink-pages-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(dir.join("sub")).unwrap();
        let top = OwnedFd::from(fs::File::open(&dir).unwrap());
        let mut pages = PathPages::all();
        assert_eq!(pages.next(top.as_fd()), Some(PathBuf::new()));
        assert!(pages.unread().is_empty());
        fs::rename(dir.join("sub"), dir.join("away")).unwrap();
        assert_eq!(pages.next(top.as_fd()), Some("sub".into()));
        fs::rename(dir.join("away"), dir.join("sub")).unwrap();
        let unread: Vec<PathBuf> = pages.unread().into_keys().collect();
        assert_eq!(unread, [PathBuf::from("sub")]);
        assert!(pages.unread().is_empty() && pages.next(top.as_fd()).is_none());
        fs::remove_dir_all(dir).unwrap();
    }
}
