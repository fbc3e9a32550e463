//! The kernel's metadata-only stream of a diff, read while the kernel writes it.

use crate::btrfs;
use crate::error::{Doing, Result};
use crate::parallel;
use crate::process;
use crate::snapshot::shown;
use crate::sys;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::AsFd;
use std::path::Path;

/// A reader that ends with an error once a signal asks to stop: a large tree takes minutes.
pub(crate) struct Attentive(File);

impl Read for Attentive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        process::check("measuring")?;
        self.0.read(buffer)
    }
}

/// What `read` makes of the stream of a snapshot, as the difference from its parent, with data of `clones`.
///
/// # Errors
/// Those of `read`, or why the kernel stopped, which explains them.
pub(crate) fn read<T: Send>(
    snapshot: &Path,
    parent: Option<&Path>,
    clones: &[&Path],
    doing: &str,
    read: impl FnOnce(&mut BufReader<Attentive>) -> Result<T>,
) -> Result<T> {
    let open = |path: &Path| File::open(path).doing(|| format!("cannot open {}", shown(path)));
    let doing = || doing.to_owned();
    let file = open(snapshot)?;
    let number = |path: &Path| btrfs::root_id(open(path)?.as_fd()).doing(doing);
    let parent = parent.map(number).transpose()?;
    let clones = clones.iter().map(|path| number(path));
    let clones = clones.collect::<Result<Vec<u64>>>()?;
    let (reader, writer) = sys::pipe().doing(doing)?;
    sys::set_pipe_size(writer.as_fd(), 1 << 20);
    // The writing end closes when the kernel is done, and so the reader sees the end.
    let send = move || btrfs::send_metadata(&file, parent, &clones, writer.as_fd());
    let read = || {
        // Dropped at the end: whoever still writes is told that nobody reads.
        let reader = Attentive(File::from(reader));
        read(&mut BufReader::with_capacity(256 << 10, reader))
    };
    match parallel::beside(&doing(), send, read)? {
        // What the kernel says explains why the stream is short; EPIPE explains nothing.
        (Err(error), _) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).doing(doing),
        (_, done) => done,
    }
}
