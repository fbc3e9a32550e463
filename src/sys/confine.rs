//! Keeps a child from being led astray by the filesystem that it writes to.

use super::checked;
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The child sees the filesystem mounted at `mount` without devices and with symbolic links that
/// lead nowhere; nobody else does. What it may make there is the same.
///
/// # Errors
/// If this process may not do that, or the kernel is older than 5.14, which cannot. The child is
/// then as it was.
pub fn confine(command: &mut Command, mount: &Path) -> io::Result<()> {
    let mount = CString::new(mount.as_os_str().as_bytes())?;
    let become_confined = move || {
        let attributes = libc::mount_attr {
            attr_set: libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOSYMFOLLOW,
            attr_clr: 0,
            propagation: 0,
            userns_fd: 0,
        };
        // Sound: the path ends with a NUL, the structure has the length that is told, and both
        // outlive the calls.
        unsafe {
            checked(libc::unshare(libc::CLONE_NEWNS))?;
            let length = size_of_val(&attributes);
            let (from, path) = (libc::AT_FDCWD, mount.as_ptr());
            match libc::syscall(libc::SYS_mount_setattr, from, path, 0, &attributes, length) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        }
    };
    // A thread that has mounts of its own takes them with it when it ends.
    let tried = std::thread::scope(|scope| scope.spawn(&become_confined).join());
    tried.map_err(|_| io::Error::other("a thread panicked"))??;
    // Sound: between fork and exec the closure makes system calls only, and allocates nothing.
    unsafe { command.pre_exec(become_confined) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_mount_point_is_an_error() {
        let mut command = Command::new("true");
        confine(&mut command, Path::new("/proc/self/no/such")).unwrap_err();
        confine(&mut command, Path::new("a\0b")).unwrap_err();
        assert!(command.status().unwrap().success());
    }
}
