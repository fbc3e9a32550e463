//! Keeps a child from being led astray by the filesystem that it writes to, and from holding on to
//! others.

use super::checked;
use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The child sees the filesystem mounted at `mount` without devices and with symbolic links that
/// lead nowhere; nobody else does. What it may make there is the same. The mounts at `others` it does
/// not see at all: whoever unmounts one of them meanwhile finds it unmounted and written out. It
/// begins in the root directory.
///
/// # Errors
/// If this process may not do that, or the kernel is older than 5.14, which cannot. The child is
/// then as it was.
pub fn confine(command: &mut Command, mount: &Path, others: &[PathBuf]) -> io::Result<()> {
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes());
    let mount = text(mount)?;
    let others: Result<Vec<_>, _> = others.iter().map(|path| text(path)).collect();
    let others = others?;
    let become_confined = move || become_confined(&mount, &others);
    // A thread that has mounts of its own takes them with it when it ends.
    let tried = std::thread::scope(|scope| scope.spawn(&become_confined).join());
    tried.map_err(|_| io::Error::other("a thread panicked"))??;
    command.current_dir("/");
    // SAFETY: between fork and exec the closure makes system calls only, and allocates nothing.
    unsafe { command.pre_exec(become_confined) };
    Ok(())
}

/// For the calling thread, and what it starts.
fn become_confined(mount: &CStr, others: &[CString]) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOSYMFOLLOW,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the paths end with a NUL, the structure has the length that is told, and all of them
    // outlive the calls.
    unsafe {
        checked(libc::unshare(libc::CLONE_NEWNS))?;
        // What is unmounted here stays mounted elsewhere, and the other way round it does not.
        let (none, flags) = (std::ptr::null(), libc::MS_REC | libc::MS_SLAVE);
        checked(libc::mount(none, c"/".as_ptr(), none, flags, none.cast()))?;
        let length = size_of_val(&attributes);
        let (from, path) = (libc::AT_FDCWD, mount.as_ptr());
        if libc::syscall(libc::SYS_mount_setattr, from, path, 0, &attributes, length) != 0 {
            return Err(io::Error::last_os_error());
        }
        for path in others {
            // One that lies below another is gone with it, and some may not be detached.
            libc::umount2(path.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_mount_point_is_an_error() {
        let mut command = Command::new("true");
        confine(&mut command, Path::new("/proc/self/no/such"), &[]).unwrap_err();
        confine(&mut command, Path::new("a\0b"), &[]).unwrap_err();
        assert!(command.status().unwrap().success());
    }
}
