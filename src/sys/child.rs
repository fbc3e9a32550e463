//! Signals that ask us to stop, and what a child process needs between fork and exec. Starts nothing.

use super::checked;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
const STOPPING: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

extern "C" fn on_signal(_: libc::c_int) {
    if INTERRUPTED.swap(true, Ordering::SeqCst) {
        // SAFETY: `_exit` may be called in a signal handler, and ends everything.
        unsafe { libc::_exit(130) }
    }
}

/// From now on the first SIGINT, SIGTERM or SIGHUP makes [`interrupted`] true and ends blocking
/// calls of a thread with `EINTR`; the second ends the process with status 130. A signal that was
/// ignored when we started (`nohup`, background jobs of a script) stays ignored.
pub fn catch_signals() {
    for signal in STOPPING {
        // SAFETY: zero is a valid `sigaction` (no flags, so no SA_RESTART; an empty mask), both
        // structures outlive the calls, and the handler does only what a handler may.
        unsafe {
            let mut old: libc::sigaction = std::mem::zeroed();
            let mut new: libc::sigaction = std::mem::zeroed();
            new.sa_sigaction = on_signal as *const () as libc::sighandler_t;
            libc::sigaction(signal, std::ptr::null(), &mut old);
            if old.sa_sigaction != libc::SIG_IGN {
                libc::sigaction(signal, &new, std::ptr::null_mut());
            }
        }
    }
}

/// Whether a signal asked us to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Keeps the stopping signals from the calling thread, so that another one receives them.
pub fn quiet_thread() {
    // SAFETY: the set is initialised by `sigemptyset` and outlives the calls.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in STOPPING {
            libc::sigaddset(&mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
    }
}

/// Prepares a child: a process group of its own, so that a Ctrl-C reaches us and not it; SIGTERM
/// when the thread that spawned it ends, however it ends; no signals blocked or ignored; and, in
/// the background, the idle I/O class and the lowest CPU priority.
pub fn prepare_child(command: &mut Command, background: bool) {
    let parent = std::process::id();
    command.process_group(0);
    // SAFETY: between fork and exec the closure makes system calls only, all of them
    // async-signal-safe, and allocates nothing.
    unsafe {
        command.pre_exec(move || become_child(parent, background));
    }
}

/// Prepares a child that may talk to the person at the terminal, as ssh does for passphrases: it
/// stays in our process group, and a Ctrl-C reaches it too. The rest is as in [`prepare_child`].
pub fn prepare_companion(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: as in `prepare_child`.
    unsafe {
        command.pre_exec(move || become_child(parent, false));
    }
}

/// Ends a child that was prepared by [`prepare_child`], and what it started. It must not have been
/// waited for yet, so that its number is still its own.
pub fn kill_group(child: u32) {
    // SAFETY: the call takes no memory. It fails only if nobody is left, which is what is wanted.
    unsafe { libc::kill(-(child as libc::pid_t), libc::SIGKILL) };
}

/// Runs in the child, between fork and exec.
fn become_child(parent: u32, background: bool) -> io::Result<()> {
    // SAFETY: plain system calls; the set is initialised and outlives its use.
    unsafe {
        checked(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM))?;
        // The parent may have died before we asked to be told.
        if libc::getppid() as u32 != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        if background {
            yield_to_others();
        }
    }
    Ok(())
}

/// The calling thread, and what it starts, gives way to all other work on the machine: the idle I/O
/// class and the lowest CPU priority. Best effort: containers may forbid it, and the work is the same
/// without.
pub fn yield_to_others() {
    const PROCESS: libc::c_int = 1;
    const IDLE: libc::c_int = 3 << 13;
    // SAFETY: plain system calls, which may be made between fork and exec too.
    unsafe {
        libc::syscall(libc::SYS_ioprio_set, PROCESS, 0, IDLE);
        libc::setpriority(libc::PRIO_PROCESS, 0, 19);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Stdio;

    #[test]
    fn a_prepared_child_is_polite_and_alone() {
        let mut command = Command::new("cat");
        prepare_child(&mut command, true);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        assert_eq!(fields[2], child.id().to_string(), "process group");
        assert_eq!(fields[16], "19", "nice");
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn a_child_dies_with_the_thread_that_made_it() {
        let child = std::thread::spawn(|| {
            let mut command = Command::new("sleep");
            prepare_child(command.arg("60"), false);
            command.spawn().unwrap()
        });
        let status = child.join().unwrap().wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGTERM));
    }

    #[test]
    fn signals_go_to_threads_that_want_them() {
        // `nohup` and background jobs of scripts start us with SIGINT ignored, and then it stays so.
        // SAFETY: no handler of anybody's is lost.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
        catch_signals();
        // SIGINT is directed at a thread that blocks it: nothing may happen yet.
        std::thread::spawn(|| {
            quiet_thread();
            // SAFETY: the calling thread is alive.
            unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGINT) };
        })
        .join()
        .unwrap();
        assert!(!interrupted());
        // SAFETY: likewise.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGINT) };
        assert!(interrupted());
        INTERRUPTED.store(false, Ordering::SeqCst);
    }
}
