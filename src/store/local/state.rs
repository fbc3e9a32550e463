//! The state directory of a destination: its lock, the seals of what was received there, and the
//! name of what is being received. Knows files and lines; judges nothing.

use crate::error::{Doing, Error, Result};
use crate::snapshot::{Uuid, path_text, shown};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The directory below a destination that holds what we must remember about it.
pub(super) const STATE: &str = ".buttersink";
const SEALS: &str = "seals";
const LOCK: &str = "lock";
const UNFINISHED: &str = "unfinished";

/// What was recorded of a received snapshot when it was whole and durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seal {
    pub(super) received_uuid: Uuid,
    pub(super) stransid: u64,
    pub(super) ctransid: u64,
}

/// The generation in the seal of a copy that was found to be unlike its source. None has it, so
/// that it is taken for altered, also by those who do not know what this means.
const REJECTED: u64 = 0;

impl Seal {
    /// Whether it says that the copy is unlike its source.
    pub(super) fn rejects(&self) -> bool {
        self.ctransid == REJECTED
    }
}

/// Seals by the UUID of the received subvolume.
pub(super) type Seals = HashMap<Uuid, Seal>;

/// Adds the seals kept in `dir` to those known; false if we may not read them. Lines that are not
/// seals (the last one may be torn by a crash) are passed over; later lines win.
pub(super) fn read(dir: &Path, seals: &mut Seals) -> Result<bool> {
    let path = dir.join(STATE).join(SEALS);
    match std::fs::read(&path).map_err(|error| (error.kind(), error)) {
        Ok(text) => {
            let text = String::from_utf8_lossy(&text);
            seals.extend(text.split_inclusive('\n').filter_map(parse));
        }
        Err((ErrorKind::NotFound | ErrorKind::NotADirectory, _)) => {}
        Err((ErrorKind::PermissionDenied, _)) => return Ok(false),
        Err((_, error)) => return Err(error).doing(|| format!("cannot read {}", shown(&path))),
    }
    Ok(true)
}

fn parse(line: &str) -> Option<(Uuid, Seal)> {
    let mut fields = line.strip_suffix('\n')?.split(' ');
    let uuid = fields.next()?.parse().ok()?;
    let received_uuid = fields.next()?.parse().ok()?;
    let (stransid, ctransid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    fields.next().is_none().then_some((
        uuid,
        Seal {
            received_uuid,
            stransid,
            ctransid,
        },
    ))
}

/// Records a seal durably.
pub(super) fn add(dir: &Path, uuid: Uuid, seal: &Seal) -> Result<()> {
    let path = dir.join(STATE).join(SEALS);
    let line = line(&uuid, seal);
    let add = || {
        let mut file = options().read(true).append(true).create(true).open(&path)?;
        let torn = ends_torn(&mut file)?;
        file.write_all(if torn { format!("\n{line}") } else { line }.as_bytes())?;
        file.sync_all()
    };
    add().doing(|| format!("cannot write {}", shown(&path)))
}

/// Records durably that a received snapshot is not what was sent.
pub(super) fn mark(dir: &Path, uuid: Uuid, received_uuid: Uuid, stransid: u64) -> Result<()> {
    let seal = Seal {
        received_uuid,
        stransid,
        ctransid: REJECTED,
    };
    add(dir, uuid, &seal)
}

/// Whether a crash tore the last line.
fn ends_torn(file: &mut File) -> std::io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn line(uuid: &Uuid, seal: &Seal) -> String {
    let Seal {
        received_uuid,
        stransid,
        ctransid,
    } = seal;
    format!("{uuid} {received_uuid} {stransid} {ctransid}\n")
}

/// Forgets the seal of a subvolume that is gone, so that the file does not grow for ever.
pub(super) fn remove(dir: &Path, uuid: Uuid) -> Result<()> {
    let mut seals = Seals::new();
    read(dir, &mut seals)?;
    if seals.remove(&uuid).is_none() {
        return Ok(());
    }
    let text: String = seals.iter().map(|(uuid, seal)| line(uuid, seal)).collect();
    replace(dir, SEALS, &text)
}

/// Records durably that the snapshot at `path` (relative to `dir`) is being received. A
/// destination has one lock, so there is one at a time.
pub(super) fn begin(dir: &Path, path: &Path) -> Result<()> {
    let line = path_text::encode(path);
    replace(dir, UNFINISHED, &line)
}

/// Forgets it again: it has its name, or is gone. What others call so later is theirs.
pub(super) fn ended(dir: &Path) -> Result<()> {
    let path = dir.join(STATE).join(UNFINISHED);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).doing(|| format!("cannot remove {}", shown(&path)))
        }
        _ => Ok(()),
    }
}

/// What was being received when the last run ended.
pub(super) fn begun(dir: &Path) -> Result<Option<PathBuf>> {
    let path = dir.join(STATE).join(UNFINISHED);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(path_text::decode(&text).filter(|path| !path.as_os_str().is_empty())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing(|| format!("cannot read {}", shown(&path))),
    }
}

/// Gives a state file new content, durably, and all of it or nothing.
fn replace(dir: &Path, name: &str, text: &str) -> Result<()> {
    let path = dir.join(STATE).join(name);
    let new = path.with_extension("new");
    let replace = || {
        let mut file = options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, &path)
    };
    replace().doing(|| format!("cannot write {}", shown(&path)))
}

/// Opens the lock file of a destination, making the state directory if need be.
pub(super) fn open_lock(dir: &Path) -> Result<File> {
    let state = dir.join(STATE);
    match std::fs::DirBuilder::new().mode(0o700).create(&state) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(refused(error, format!("cannot make {}", shown(&state))));
        }
        _ => {}
    }
    let path = lock_path(dir);
    let mut options = options();
    let lock = options.write(true).create(true).truncate(false).open(&path);
    lock.map_err(|error| refused(error, format!("cannot open {}", shown(&path))))
}

/// Nothing can be received where nothing can be written.
fn refused(error: std::io::Error, doing: String) -> Error {
    match error.kind() {
        ErrorKind::ReadOnlyFilesystem => Error::failed(
            doing,
            "the directory is read-only: a snapshot, or on a filesystem that is mounted so (dmesg \
             tells if the kernel made it so after an error)",
        ),
        _ => Error::io(doing, error),
    }
}

/// Where the lock of a directory is, if it has one.
pub(super) fn lock_path(dir: &Path) -> PathBuf {
    dir.join(STATE).join(LOCK)
}

/// The state directory may lie in a directory that others can write to: no links are followed.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_count() {
        let good =
            "0e2cbe19-93d2-4d49-a0bb-4ea2e8a2a0c1 1e2cbe19-93d2-4d49-a0bb-4ea2e8a2a0c1 7 10\n";
        assert!(parse(good).is_some());
        assert!(
            parse(good.trim_end()).is_none(),
            "torn after the last digit, or inside the number"
        );
        assert!(parse(&good.replace(" 10", "")).is_none());
        assert!(parse(&good.replace(" 10", " 10 x")).is_none());
        assert!(parse("\n").is_none());
    }
}
