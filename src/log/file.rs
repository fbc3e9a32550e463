//! The file of a log, which is opened and then looked at. Knows paths and links, and nothing of what is written.

use crate::sys::secure_open::{Unopened, no_file};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind::NotFound};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens an ordinary file to write at its end, or makes it. Links are followed as by [`Unopened::at`], and to
/// nothing new.
///
/// # Errors
/// If it is something else, or as [`Unopened::at`] says.
pub(super) fn open_to_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true);
    match Unopened::at(path) {
        Ok(found) if found.is_file() => return options.open(found.handle()),
        // What has no name, such as a pipe behind /dev/stderr, is there and not found by its name.
        Err(error) if error.kind() == NotFound && Unopened::anywhere(path).is_err() => {}
        Err(error) if error.kind() != NotFound => return Err(error),
        _ => return Err(no_file()),
    }
    let dir = match path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        Some(dir) => Unopened::at(dir)?,
        None => Unopened::at(Path::new("."))?,
    };
    let name = path.file_name().ok_or_else(no_file)?;
    // What was put there meanwhile is neither followed nor waited for.
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.create(true).open(dir.handle().join(name))?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(no_file()),
    }
}
