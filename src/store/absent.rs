//! Places that are not there: how each is made, and making it where that is wanted. Opens no store.

use super::Place;
use crate::btrfs;
use crate::error::{Cause, Doing, Error, Result};
use crate::text::shown;
use std::path::Path;

impl Place {
    /// Makes the directory of a place on this machine, if it is not there. Elsewhere nothing is made.
    ///
    /// # Errors
    /// If it cannot be made, or could not be used: snapshots are received on btrfs only.
    pub fn create(&self) -> Result<()> {
        let Some(path) = self.path().filter(|path| !path.exists()) else {
            return Ok(());
        };
        let doing = || format!("cannot make {}", shown(path));
        if self.directory().is_some() && !btrfs::is_on(nearest(path))? {
            let said = format!("{} is not on btrfs", shown(nearest(path)));
            let way = format!("raw:{} keeps streams on any filesystem", shown(path));
            return Err(Error::failed(doing(), said).hint(way));
        }
        std::fs::create_dir_all(path).doing(doing)
    }

    /// The part of its path that is there, of a place on this machine.
    pub fn nearest(&self) -> Option<&Path> {
        self.path().map(nearest)
    }

    /// An error of opening a destination, and how that is made if it is not there.
    #[must_use]
    pub fn way_to_make(&self, error: Error) -> Error {
        if error.cause != Some(Cause::Errno(libc::ENOENT)) {
            return error;
        }
        match self {
            Place::Local(path) | Place::Raw(path) => {
                let path = shown(path);
                error.hint(format!(
                    "is its disk mounted? if so, --create or 'mkdir -p {path}' makes it"
                ))
            }
            Place::Ssh(address) | Place::RawSsh(address) => {
                let (host, dir) = (address.host(), shown(address.dir()));
                error.hint(format!(
                    "is its disk mounted? if so, 'ssh {host} sudo mkdir -p {dir}' makes it"
                ))
            }
            Place::S3 { .. } => error,
        }
    }
}

fn nearest(path: &Path) -> &Path {
    let mut there = path.ancestors().filter(|path| path.exists());
    there.next().unwrap_or(Path::new("."))
}
