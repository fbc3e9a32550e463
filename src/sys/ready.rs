//! Waiting for one end of a pipe or socket, no longer than one wants to. Reads and writes nothing.

use super::checked;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Waits until there is something to read, or the end of it; whether there is within this time.
///
/// # Errors
/// `EINTR`, and what else the kernel says.
pub fn can_read(file: BorrowedFd, within: Duration) -> io::Result<bool> {
    Ok(wait(file, libc::POLLIN, within)? != 0)
}

/// Waits until a page more can be written to a pipe without waiting, or nobody reads any more; whether it can
/// within this time.
///
/// # Errors
/// As [`can_read`] says.
pub fn can_write(file: BorrowedFd, within: Duration) -> io::Result<bool> {
    Ok(wait(file, libc::POLLOUT, within)? != 0)
}

/// Whether nobody reads any more what is written.
///
/// # Errors
/// As [`can_read`] says.
pub fn is_unread(file: BorrowedFd) -> io::Result<bool> {
    Ok(wait(file, 0, Duration::ZERO)? & (libc::POLLERR | libc::POLLHUP) != 0)
}

/// What came of the events that were asked for; none if the time was over first.
fn wait(file: BorrowedFd, events: i16, within: Duration) -> io::Result<i16> {
    let mut one = libc::pollfd {
        fd: file.as_raw_fd(),
        events,
        revents: 0,
    };
    let within = libc::c_int::try_from(within.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: one structure, which outlives the call.
    checked(unsafe { libc::poll(&mut one, 1, within) })?;
    Ok(one.revents)
}

/// Asks this process to stop, as SIGTERM from elsewhere does; the calling thread is one of those that are
/// [quiet](super::quiet_thread).
pub fn stop_this_process() {
    // SAFETY: the call takes no memory.
    unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;

    #[test]
    fn what_can_go_on_is_told() {
        let (reader, writer) = crate::sys::pipe().unwrap();
        let now = Duration::ZERO;
        assert!(!can_read(reader.as_fd(), Duration::from_millis(1)).unwrap());
        assert!(can_write(writer.as_fd(), now).unwrap());
        let mut file = std::fs::File::from(writer.try_clone().unwrap());
        let mut pages = 0;
        while can_write(writer.as_fd(), now).unwrap() {
            file.write_all(&[7; 4096]).unwrap();
            pages += 1;
        }
        assert!(pages > 0 && can_read(reader.as_fd(), now).unwrap());
        assert!(!is_unread(writer.as_fd()).unwrap());
        drop(reader);
        // A child that another test forks just now has it open until it runs something.
        while !is_unread(writer.as_fd()).unwrap() {
            std::thread::yield_now();
        }
        drop((writer, file));
    }

    #[test]
    fn an_end_can_be_read() {
        let (reader, writer) = crate::sys::pipe().unwrap();
        drop(writer);
        assert!(can_read(reader.as_fd(), Duration::MAX).unwrap());
    }
}
