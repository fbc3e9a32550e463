//! What somebody can do when the disk is in the way of what is received, and when another diff may do. Knows numbers of errors, and
//! no words of anybody's.

use crate::error::{Cause, Error, Kind};
use crate::process;
use crate::snapshot::shown;
use std::path::Path;

/// The same error with the number of the system's, also where a child said it, and with the way out.
pub(super) fn with_way_out(error: Error, dir: &Path) -> Error {
    let Some(number) = process::outside(&error).filter(|_| error.hint.is_none()) else {
        return error;
    };
    let dir = shown(dir);
    let hint = match number {
        libc::ENOSPC => format!(
            "delete snapshots there: btrfs filesystem usage {dir} shows what is taken, and what was \
             deleted is free when btrfs subvolume sync {dir} has ended"
        ),
        libc::EDQUOT => format!(
            "raise the limit there: btrfs qgroup show -re {dir} shows it, and btrfs qgroup limit sets it"
        ),
        libc::EIO | libc::EROFS => format!(
            "look after the disk there: dmesg says what happened, and btrfs device stats {dir} counts it"
        ),
        _ => return error,
    };
    error.cause(Cause::Errno(number)).hint(hint)
}

/// What cannot be made of this diff may be made of another.
pub(super) fn unreceivable(mut error: Error) -> Error {
    if process::is_about_input(&error) {
        error.kind = Kind::Unreceivable;
    }
    error
}
