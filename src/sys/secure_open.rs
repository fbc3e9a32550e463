//! What others may have had a hand in is opened first and then looked at: a path is walked name by
//! name, each from the directory before it, so that nothing can be exchanged between the look and the
//! use. Knows owners and modes; not what is in the files.

use super::dir::{Stat, open_at, read_link_at, stat_at};
use crate::text::shown;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

/// Whether we are root.
pub fn is_root() -> bool {
    // SAFETY: the call takes no memory and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Whether what this thread makes belongs to root, user and group.
pub fn makes_for_root() -> bool {
    // SAFETY: the calls take no memory and cannot fail.
    unsafe { libc::geteuid() == 0 && libc::getegid() == 0 }
}

/// As many links as the kernel follows.
const LINKS: usize = 40;

/// What stands at a path: held fast, and not opened yet, so that a FIFO blocks nobody.
#[derive(Debug)]
pub struct Unopened {
    place: OwnedFd,
    /// Its attributes.
    pub stat: Stat,
    /// The first on the way to it, itself included, that somebody but root can write or replace.
    pub strange: Option<Strange>,
    /// Whether nobody but root gets as far, since a directory on the way is for root only.
    pub private: bool,
}

impl AsFd for Unopened {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.place.as_fd()
    }
}

/// What is not root's alone.
#[derive(Clone, Debug)]
pub struct Strange {
    /// The path at which it stands.
    pub path: PathBuf,
    /// The user who owns it.
    pub uid: u32,
    /// Its permissions.
    pub mode: u16,
}

impl Unopened {
    /// What stands at a path, wherever links lead: for files that somebody named to have them read.
    ///
    /// # Errors
    /// If there is nothing, or it may not be reached.
    pub fn anywhere(path: &Path) -> io::Result<Unopened> {
        let path = path.as_os_str().as_bytes();
        let place = match File::open(".").or_else(|_| File::open("/")) {
            Ok(here) => open_at(here.as_fd(), path, libc::O_PATH)?,
            Err(error) => return Err(error),
        };
        Ok(Unopened {
            stat: stat_at(place.as_fd(), b"")?,
            place,
            strange: None,
            private: false,
        })
    }

    /// Walks a path. Root follows a symbolic link only where it, and each directory so far, is root's
    /// alone; others follow their own.
    ///
    /// # Errors
    /// If something is not there, may not be entered, or is a link that is not followed.
    pub fn at(path: &Path) -> io::Result<Unopened> {
        let mut walk = OpenWalk::new(path)?;
        while let Some(name) = walk.names.pop_front() {
            walk.step(&name)?;
        }
        let stat = stat_at(walk.place.as_fd(), b"")?;
        Ok(Unopened {
            place: walk.place,
            stat,
            strange: walk.strange,
            private: walk.private,
        })
    }

    /// Whether it is an ordinary file.
    pub fn is_file(&self) -> bool {
        kind(&self.stat) == libc::S_IFREG
    }

    fn is_directory(&self) -> bool {
        kind(&self.stat) == libc::S_IFDIR
    }

    /// Where it is, without links.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn path(&self) -> io::Result<PathBuf> {
        std::fs::read_link(self.handle())
    }

    /// Opens it if it is a directory.
    ///
    /// # Errors
    /// If it is something else, or may not be read.
    pub fn open_directory(&self) -> io::Result<File> {
        match self.is_directory() {
            true => File::open(self.handle()),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Whether programs there cannot give their user more rights, nor nodes stand for devices.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn is_harmless(&self) -> io::Result<bool> {
        let both = libc::ST_NOSUID | libc::ST_NODEV;
        Ok(super::statvfs(self.place.as_fd())?.f_flag & both == both)
    }

    /// Opens it if it is an ordinary file.
    ///
    /// # Errors
    /// If it is something else, or may not be read.
    pub fn open_file(&self) -> io::Result<File> {
        match self.is_file() {
            true => File::open(self.handle()),
            false => Err(no_file()),
        }
    }

    /// A path that stands for just this one, as long as it is held.
    pub fn handle(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.place.as_raw_fd()).into()
    }
}

/// The content of an ordinary file that has at most so many bytes.
///
/// # Errors
/// If it is something else, longer, or as [`Unopened::at`] says.
pub fn read_file(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_found(&Unopened::at(path)?, most)
}

/// The content of an ordinary file that was found by [`Unopened::at`], and has at most so many bytes.
///
/// # Errors
/// As [`read_file`].
pub fn read_found(found: &Unopened, most: u64) -> io::Result<Vec<u8>> {
    read_bounded(&mut found.open_file()?, most)
}

/// All that comes, if it is at most so many bytes.
///
/// # Errors
/// If it is more, or cannot be read.
pub fn read_bounded(from: &mut dyn Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(too_long(most)),
        false => Ok(bytes),
    }
}

/// Opens an ordinary file to read and change it, or makes it for its owner alone. No link is followed.
///
/// # Errors
/// If it is something else, or what `open` says.
pub fn open_to_change(path: &Path, make: bool) -> io::Result<File> {
    // To be read too, and without waiting: then what is a FIFO opens, and is seen to be one.
    let mut options = OpenOptions::new();
    options.read(true).write(true).truncate(false);
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.create(make).mode(0o600).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(no_file()),
    }
}

/// That there is something else than an ordinary file.
pub fn no_file() -> io::Error {
    io::Error::other("it is not an ordinary file")
}

/// That a file is longer than so many bytes.
pub fn too_long(most: u64) -> io::Error {
    io::Error::other(format!("it is longer than {most} bytes"))
}

fn kind(stat: &Stat) -> u32 {
    u32::from(stat.mode) & libc::S_IFMT
}

struct OpenWalk {
    place: OwnedFd,
    /// Where that is, for words.
    path: PathBuf,
    names: VecDeque<OsString>,
    links: usize,
    strange: Option<Strange>,
    private: bool,
    root: bool,
}

impl OpenWalk {
    fn new(path: &Path) -> io::Result<OpenWalk> {
        let root = is_root();
        let mut walk = OpenWalk {
            place: start(path)?,
            path: match path.is_absolute() {
                true => "/".into(),
                false => std::env::current_dir()?,
            },
            names: names(path).collect(),
            links: 0,
            strange: None,
            private: false,
            root,
        };
        if path.as_os_str().is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        walk.judge(&stat_at(walk.place.as_fd(), b"")?, &walk.path.clone());
        Ok(walk)
    }

    fn step(&mut self, name: &OsString) -> io::Result<()> {
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let next = open_at(self.place.as_fd(), name.as_bytes(), flags)?;
        let stat = stat_at(next.as_fd(), b"")?;
        let path = match name == ".." {
            true => self.path.parent().unwrap_or(&self.path).to_owned(),
            false => self.path.join(name),
        };
        self.judge(&stat, &path);
        if kind(&stat) != libc::S_IFLNK {
            (self.place, self.path) = (next, path);
            return Ok(());
        }
        self.links += 1;
        if self.links > LINKS {
            return Err(io::Error::from_raw_os_error(libc::ELOOP));
        }
        if let Some(strange) = self.strange.as_ref().filter(|_| self.root) {
            let (at, link) = (shown(&strange.path), shown(&path));
            let said = format!("{link} is a symbolic link, and {at} is not root's alone");
            return Err(io::Error::other(said));
        }
        let target = PathBuf::from(OsString::from_vec(read_link_at(next.as_fd(), b"")?));
        if target.is_absolute() {
            (self.place, self.path) = (start(&target)?, "/".into());
        }
        for name in names(&target).rev() {
            self.names.push_front(name);
        }
        Ok(())
    }

    /// In a directory like /tmp others can write, and yet not replace what is root's.
    fn judge(&mut self, stat: &Stat, path: &Path) {
        let directory = kind(stat) == libc::S_IFDIR;
        self.private |= directory && stat.uid == 0 && stat.mode & 0o077 == 0;
        let sticky = directory && stat.mode & 0o1000 != 0;
        let open = kind(stat) != libc::S_IFLNK && stat.mode & 0o022 != 0 && !sticky;
        if self.strange.is_none() && (stat.uid != 0 || open) {
            self.strange = Some(Strange {
                path: path.to_owned(),
                uid: stat.uid,
                mode: stat.mode & 0o7777,
            });
        }
    }
}

fn start(path: &Path) -> io::Result<OwnedFd> {
    let at: &[u8] = if path.is_absolute() { b"/" } else { b"." };
    let here = File::open(".").or_else(|_| File::open("/"))?;
    open_at(here.as_fd(), at, libc::O_PATH | libc::O_DIRECTORY)
}

fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    fn scratch(name: &str) -> PathBuf {
        let unique = format!("buttersink-look-{name}-{}", std::process::id());
        let dir = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&dir).unwrap();
        dir.canonicalize().unwrap()
    }

    #[test]
    fn files_and_nothing_else_up_to_a_length() {
        let dir = scratch("files");
        std::fs::write(dir.join("f"), "four").unwrap();
        assert_eq!(read_file(&dir.join("f"), 4).unwrap(), b"four");
        assert_eq!(
            read_file(&dir.join("./x/../f"), 4).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        assert!(
            read_file(&dir.join("f"), 3)
                .unwrap_err()
                .to_string()
                .contains("longer")
        );
        let made = std::process::Command::new("mkfifo")
            .arg(dir.join("p"))
            .status();
        assert!(made.unwrap().success());
        for other in [dir.join("p"), "/dev/zero".into(), dir.clone()] {
            let error = read_file(&other, 4).unwrap_err();
            assert!(error.to_string().contains("ordinary"), "{error}");
        }
        let missing = read_file(&dir.join("f/x"), 4).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotADirectory);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn links_that_are_roots_alone() {
        let dir = scratch("links");
        std::fs::write(dir.join("f"), "x").unwrap();
        std::fs::create_dir(dir.join("d")).unwrap();
        symlink("../f", dir.join("d/l")).unwrap();
        symlink("d", dir.join("e")).unwrap();
        symlink("loop", dir.join("loop")).unwrap();
        let found = Unopened::at(&dir.join("e/l")).unwrap();
        assert_eq!(found.path().unwrap(), dir.join("f"));
        assert!(Unopened::at(&dir.join("loop")).is_err());
        if chown(dir.join("d"), Some(65534), None).is_ok() {
            let error = Unopened::at(&dir.join("e/l")).unwrap_err();
            assert!(error.to_string().contains("root's alone"), "{error}");
            chown(dir.join("d"), Some(0), None).unwrap();
            assert!(Unopened::at(&dir.join("e/l")).unwrap().strange.is_none());
            let open = std::fs::Permissions::from_mode(0o777);
            std::fs::set_permissions(dir.join("d"), open).unwrap();
            assert!(Unopened::at(&dir.join("e/l")).is_err());
            std::fs::write(dir.join("d/plain"), "x").unwrap();
            let found = Unopened::at(&dir.join("d/plain")).unwrap();
            assert_eq!(found.strange.unwrap().path, dir.join("d"));
        }
        std::fs::remove_dir_all(dir).unwrap();
    }
}
