//! Files that are written whole or not at all, where others may have put something in the way. Knows no content.

use super::secure_open::no_file;
use std::fs::{OpenOptions, remove_file, rename, symlink_metadata};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Puts a file with these permissions in the place of what is there, by way of a `new` one beside it. The bytes are on
/// the disk then; the name may not be. A device such as /dev/null is no place for one.
///
/// # Errors
/// If it cannot be written.
pub fn write_whole(path: &Path, new: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let there = symlink_metadata(path).map(|there| there.file_type());
    if there.is_ok_and(|there| there.is_char_device() || there.is_block_device()) {
        return Err(no_file());
    }
    // Whoever may write to the directory may have put something there to be written to, or waited for.
    match remove_file(new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut file = options.open(new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    rename(new, path)
}
