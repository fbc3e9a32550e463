//! The file that makes a directory the root of objects: what it says, when it is made, and how it is looked
//! for above a directory.

use super::files::Files;
use super::meta::json;
use crate::sys;
use serde::{Deserialize, Serialize};
use std::fs::Metadata;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The name of the file.
pub(super) const MARKER: &str = ".buttersink-raw";
/// How the names of files begin that are to become it.
pub(super) const DRAFTS: &str = ".buttersink-raw.";
const VERSION: u32 = 1;
/// How names are made.
const ESCAPING: &str = "percent";
/// What a file on FAT may hold.
const FAT_LONGEST: u64 = (4 << 30) - 1;
/// `MSDOS_SUPER_MAGIC` in `linux/magic.h`.
const FAT: u64 = 0x4d44;
/// Names that filesystems, desktops and boxes for storage leave in directories, and that no key gets.
const NOBODYS: &[&str] = &[
    "lost+found",
    "System Volume Information",
    "$RECYCLE.BIN",
    "@eaDir",
    "#recycle",
    "@Recycle",
    "#snapshot",
    ".snapshot",
    ".DS_Store",
    ".Spotlight-V100",
    ".Trashes",
    ".fseventsd",
];
/// How others of them begin: trash with the number of a user, and files that are removed and still open.
const BEGINNINGS: &[&str] = &[".Trash-", ".nfs"];

/// What the file says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Marker {
    version: u32,
    escaping: String,
    /// Bytes that an object may have, if there is a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_object: Option<u64>,
}

impl Marker {
    /// What there will be in a directory that has none.
    pub(super) fn fitting(files: &Files) -> io::Result<Marker> {
        let fat = sys::filesystem_type(files.top().as_fd())? == FAT;
        Ok(Marker {
            version: VERSION,
            escaping: ESCAPING.to_owned(),
            max_object: fat.then_some(FAT_LONGEST),
        })
    }

    /// What is there; `None` if there is none.
    pub(super) fn read(files: &Files) -> io::Result<Option<Marker>> {
        let Some(text) = files.bytes(MARKER).map_err(unread)? else {
            let in_its_place =
                |(name, kind): &(String, u8)| name == MARKER && *kind != libc::DT_REG;
            let said = format!("its {MARKER} cannot be read: it is not an ordinary file");
            return match files.names("")?.iter().any(in_its_place) {
                true => Err(io::Error::other(said)),
                false => Ok(None),
            };
        };
        let marker: Marker = serde_json::from_slice(&text)
            .map_err(|error| io::Error::other(format!("its {MARKER} is damaged: {error}")))?;
        if (marker.version, marker.escaping.as_str()) != (VERSION, ESCAPING) {
            let said = format!("its {MARKER} is of a later version of buttersink");
            return Err(io::Error::other(said));
        }
        Ok(Some(marker))
    }

    /// Makes it. Another run may have done so meanwhile, and then it is that one's.
    pub(super) fn make(&self, files: &Files) -> io::Result<()> {
        let number = sys::random()?;
        let draft = format!("{DRAFTS}{number:016x}");
        files.write_new(&draft, &json(self))?;
        match files.publish(&draft, MARKER) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                files.remove(&draft).map(drop)
            }
            done => done,
        }
    }
}

/// What lies there in its place has no words of its own; what is wrong with the disk has.
fn unread(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EXDEV | libc::EISDIR | libc::ELOOP | libc::ENXIO | libc::EACCES) => {
            io::Error::other(format!("its {MARKER} cannot be read: {error}"))
        }
        _ => error,
    }
}

/// Whether there is nothing in a directory but what nobody keeps there.
pub(super) fn is_empty(files: &Files) -> io::Result<bool> {
    let names = files.names("")?;
    let nothing = |name: &str| is_nobodys(name) || name.starts_with(MARKER);
    Ok(names.iter().all(|(name, _)| nothing(name)))
}

/// Whether a name is of a filesystem, a desktop or a box for storage.
pub(super) fn is_nobodys(name: &str) -> bool {
    NOBODYS.contains(&name) || BEGINNINGS.iter().any(|begin| name.starts_with(begin))
}

/// The nearest directory that has the file: this one, or one above it.
pub(super) fn root(dir: &Path) -> Option<&Path> {
    // What may be there and cannot be looked at is taken for it: whoever opens it hears why.
    let may_be = |error: io::Error| {
        let unread = [libc::EIO, libc::EUCLEAN, libc::ESTALE, libc::EACCES];
        error
            .raw_os_error()
            .is_some_and(|number| unread.contains(&number))
    };
    let has = |at: &&Path| {
        let marker = at.join(MARKER).symlink_metadata();
        marker.map_or_else(may_be, |marker| *at == dir || !is_planted(at, &marker))
    };
    dir.ancestors().find(has)
}

/// Whether somebody else may have put it there, as in `/tmp`, where nobody can replace what is below and is ours.
fn is_planted(dir: &Path, marker: &Metadata) -> bool {
    let us = std::fs::metadata("/proc/self").map_or(0, |us| us.uid());
    dir.metadata().is_ok_and(|dir| {
        let for_all = dir.mode() & 0o1002 == 0o1002;
        for_all && ![0, us, dir.uid()].contains(&marker.uid())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::directory::names;
    use std::os::unix::fs::{PermissionsExt, chown};

    #[test]
    fn what_others_put_above_makes_no_root() {
        let dir = std::env::temp_dir().join(format!("buttersink-planted-{}", std::process::id()));
        let below = dir.join("ours/deeper");
        std::fs::create_dir_all(&below).unwrap();
        let mode = |mode| std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(mode));
        std::fs::write(dir.join(MARKER), "{}").unwrap();
        mode(0o1777).unwrap();
        assert_eq!(root(&below), Some(&*dir));
        if chown(dir.join(MARKER), Some(65534), None).is_ok() {
            assert_eq!(root(&below), None);
            assert_eq!(root(&dir), Some(&*dir), "it was named");
            // Whose it is may be what an export of NFS makes of root.
            mode(0o777).unwrap();
            assert_eq!(root(&below), Some(&*dir));
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    /// What is passed over without a word is no object.
    #[test]
    fn no_key_gets_what_is_nobodys() {
        for name in NOBODYS.iter().chain(BEGINNINGS) {
            assert!(is_nobodys(name) && !names::may_be(name), "{name}");
        }
    }
}
