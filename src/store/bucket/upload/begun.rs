//! Which uploads this machine began, and how: nobody tells the metadata of an upload that is not finished,
//! so that one of an older version, or of another stream, could not be told from ours. A file for each, in
//! the state of the machine. Without it an upload is not gone on with, and nothing else is lost.

use crate::digest::sha256;
use crate::log;
use crate::machine;
use crate::sys::secure_open;
use crate::text::hex;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// More than a version ever has.
const LONGEST: u64 = 64 << 10;
/// After so long nobody goes on with an upload.
const OLDEST: Duration = Duration::from_secs(60 * 86_400);

/// What is remembered of an upload.
pub(super) struct RecordedUpload(PathBuf);

impl RecordedUpload {
    /// Of the upload with this id for what is at a URL.
    pub(super) fn of(url: &str, id: &str) -> RecordedUpload {
        let name = hex(&sha256(format!("{url}\n{id}").as_bytes()));
        RecordedUpload(machine::state_dir().join("uploads").join(&name[..32]))
    }

    /// Whether it was begun here in just this way.
    pub(super) fn is(&self, version: &str) -> bool {
        let known = secure_open::read_file(&self.0, LONGEST);
        known.is_ok_and(|known| known == version.as_bytes())
    }

    /// Whether it was begun here.
    pub(super) fn exists(&self) -> bool {
        self.0.exists()
    }

    /// Remembers it. If it cannot be, the next run begins anew.
    pub(super) fn write(&self, version: &str) {
        if let Err(error) = self.try_to_write(version) {
            let path = self.0.display();
            log::line(|| {
                format!("cannot write {path}, so the upload will not be gone on with: {error}")
            });
        }
    }

    fn try_to_write(&self, version: &str) -> io::Result<()> {
        if let Some(dir) = self.0.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            prune(dir)?;
        }
        // What else stands there is not written through.
        let _ = fs::remove_file(&self.0);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&self.0)?;
        file.write_all(version.as_bytes())
    }

    /// The upload is no more.
    pub(super) fn forget(&self) {
        // What stays is removed for its age.
        let _ = fs::remove_file(&self.0);
    }
}

fn prune(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let written = entry.metadata().and_then(|found| found.modified());
        let age = written.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
        if age.is_ok_and(|age| age > OLDEST)
            && let Err(error) = fs::remove_file(entry.path())
        {
            let path = entry.path();
            log::line(|| format!("cannot remove {}: {error}", path.display()));
        }
    }
    Ok(())
}
