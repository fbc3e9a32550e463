//! Looking at the files of a snapshot, by threads that go on while the other side looks too.

use super::Local;
use super::send::metadata;
use crate::btrfs;
use crate::checksum::{self, EntryReading, Found, PathPages, SeenEntry, WorkCounters};
use crate::error::{Doing, Error, Result};
use crate::parallel;
use crate::process;
use crate::snapshot::{Snapshot, State, Uuid, shown};
use crate::store::file_digests::{Digest, Extent, Looking, PAGE, PAGE_BYTES, Page};
use crate::stream::{self, Touched};
use crate::sys;
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A snapshot that is being gone through, page by page.
#[derive(Debug)]
pub(super) struct Round {
    uuid: Uuid,
    way: Way,
}

#[derive(Debug)]
enum Way {
    All(PathPages),
    These(std::vec::IntoIter<PathBuf>),
}

impl Round {
    /// The next paths, and of directories among them that could not be read, why.
    fn page(&mut self, top: &OwnedFd) -> (Vec<PathBuf>, HashMap<PathBuf, String>) {
        let (mut page, mut bytes) = (Vec::new(), 0);
        while page.len() < PAGE && bytes < PAGE_BYTES {
            let next = match &mut self.way {
                Way::All(paths) => paths.next(top.as_fd()),
                Way::These(paths) => paths.next(),
            };
            let Some(path) = next else { break };
            bytes += path.as_os_str().len();
            page.push(path);
        }
        let unread = match &mut self.way {
            Way::All(paths) => paths.unread(),
            Way::These(_) => HashMap::new(),
        };
        (page, unread)
    }
}

pub(super) fn look<'a>(local: &mut Local, digest: &Digest) -> Result<Looking<'a>> {
    let snapshot = meant(local, digest)?.clone();
    must_be_brought(local, &snapshot)?;
    let top = open(local, &snapshot)?;
    let mut everything = false;
    let (paths, unread) = match &digest.extent {
        Extent::These(paths) => (paths.clone(), HashMap::new()),
        Extent::First(since) => {
            let way = way(local, &snapshot, *since)?;
            everything = since.is_some() && matches!(way, Way::All(_));
            let uuid = snapshot.uuid;
            local.round.insert(Round { uuid, way }).page(&top)
        }
        Extent::Next => match &mut local.round {
            Some(round) if round.uuid == snapshot.uuid => round.page(&top),
            _ => {
                let doing = format!("cannot look at {}", shown(&snapshot.path));
                return Err(Error::failed(doing, "nobody asked for its first files"));
            }
        },
    };
    let how = EntryReading {
        threads: parallel::processors(),
        from_disk: digest.from_disk,
    };
    let doing = format!("comparing {}", shown(&snapshot.path));
    let thread = std::thread::spawn(move || {
        sys::quiet_thread();
        checksum::look(top.as_fd(), paths, how, &WorkCounters::default())
    });
    Ok(Box::new(move || {
        let seen = parallel::joined(&doing, thread);
        process::check(&doing)?;
        let told = |one: SeenEntry| match unread.get(&one.path) {
            Some(why) => SeenEntry {
                found: Found::Unread(why.clone()),
                ..one
            },
            None => one,
        };
        let seen = seen?.into_iter().map(told).collect();
        Ok(Page { seen, everything })
    }))
}

/// The snapshot that is asked about, as it was listed or received.
fn meant<'a>(local: &'a Local, digest: &Digest) -> Result<&'a Snapshot> {
    let Some(path) = &digest.path else {
        return local.find(digest.id);
    };
    let same = |s: &&Snapshot| s.path == *path && s.id() == digest.id && s.state != State::Partial;
    local.listed.known.iter().find(same).ok_or_else(|| {
        let doing = format!("cannot look at {}", shown(path));
        Error::failed(doing, format!("it is no snapshot {} here", digest.id))
    })
}

/// Who may not read gets no digest of anything that he may not have brought himself.
fn must_be_brought(local: &Local, snapshot: &Snapshot) -> Result<()> {
    if local.caller.reads || local.received.brought.contains(&snapshot.uuid) {
        return Ok(());
    }
    let doing = format!("cannot look at {}", shown(&snapshot.path));
    let said = "mode p was granted, and it has something of what was there before this session";
    Err(Error::refused(doing, said))
}

/// Opens the snapshot, and not what somebody gave its name since.
fn open(local: &Local, snapshot: &Snapshot) -> Result<OwnedFd> {
    let doing = || format!("cannot look at {}", shown(local.dir.join(&snapshot.path)));
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let top = sys::open_beneath(local.filesystem.fd(), &snapshot.path, flags).doing(doing)?;
    let now = btrfs::subvolume_of(top.as_fd()).doing(doing)?;
    match now.uuid == snapshot.uuid && now.read_only {
        true => Ok(top),
        false => Err(Error::refused(
            doing(),
            "it was renamed, replaced or made read-write since it was listed: run it again",
        )),
    }
}

/// Through everything, or through what a diff from `since` touches: its metadata-only stream says.
fn way(local: &Local, snapshot: &Snapshot, since: Option<Uuid>) -> Result<Way> {
    let Some(since) = since else {
        return Ok(Way::All(PathPages::all()));
    };
    let (snapshot, parent) = (local.dir.join(&snapshot.path), local.path_of(since)?);
    let doing = format!("cannot see what changed in {}", shown(&snapshot));
    let touched = metadata::read(&snapshot, Some(&parent), &[], &doing, |stream| {
        Touched::read(stream, stream::MOST)
    })?;
    Ok(match touched {
        None => Way::All(PathPages::all()),
        Some(touched) => {
            let path = |bytes| PathBuf::from(OsString::from_vec(bytes));
            let paths: Vec<_> = touched.into_paths().map(path).collect();
            Way::These(paths.into_iter())
        }
    })
}
