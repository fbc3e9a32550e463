//! Exact stream lengths from the kernel's metadata-only streams, a few at a time.

use crate::btrfs;
use crate::error::{Doing, Error, Kind, Result};
use crate::parallel;
use crate::process;
use crate::snapshot::{Measured, shown};
use crate::stream;
use crate::sys;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// A diff by paths.
pub(super) struct Pair {
    pub(super) snapshot: PathBuf,
    pub(super) parent: Option<PathBuf>,
    /// How many bytes of it are worth to be counted.
    pub(super) enough: Option<u64>,
}

/// Measures all, on as many threads as there are processors (four at most: it is the kernel that
/// works).
pub(super) fn all(pairs: &[Pair]) -> Result<Vec<Measured>> {
    let ask = |pair: &Pair| match process::check("measuring").and_then(|()| one(pair)) {
        Err(stopped) if stopped.kind == Kind::Interrupted => Err(stopped),
        other => Ok(other.unwrap_or_else(refused)),
    };
    let threads = parallel::processors().min(4);
    parallel::try_map("cannot measure", threads, pairs, ask, |_| {})
}

/// What cannot be read, has paths that are too long, or can be received by nobody, is no candidate;
/// the others may be.
pub(super) fn refused(error: Error) -> Measured {
    let said = error.said;
    Measured {
        refused: Some(match error.kind {
            Kind::Unreceivable => said,
            _ => format!("it cannot be read: {said}"),
        }),
        ..Measured::default()
    }
}

fn one(pair: &Pair) -> Result<Measured> {
    match once(pair) {
        // The kernel starts the stream afresh after a suspend; the second try is undisturbed.
        Err(error) if matches!(error.kind, Kind::Restarted | Kind::Damaged) => once(pair),
        other => other,
    }
}

/// A reader that ends with an error once a signal asks to stop: a large tree takes minutes.
struct Attentive(File);

impl Read for Attentive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        process::check("measuring")?;
        self.0.read(buffer)
    }
}

fn once(pair: &Pair) -> Result<Measured> {
    let Pair {
        snapshot,
        parent,
        enough,
    } = pair;
    let doing = || format!("cannot measure {}", shown(snapshot));
    let open = |path: &Path| File::open(path).doing(|| format!("cannot open {}", shown(path)));
    let snapshot_file = open(snapshot)?;
    let trees = super::send::mending().then(|| super::send::trees(snapshot, parent.as_deref()));
    let trees = trees.transpose()?;
    let parent = match parent {
        Some(path) => Some(btrfs::root_id(open(path)?.as_fd()).doing(doing)?),
        None => None,
    };
    let (reader, writer) = sys::pipe().doing(doing)?;
    sys::set_pipe_size(writer.as_fd(), 1 << 20);
    // The writing end closes when the kernel is done, and so the reader sees the end.
    let send = move || btrfs::send_metadata(&snapshot_file, parent, writer.as_fd());
    let read = || {
        let reader = Attentive(File::from(reader));
        let mut metadata = BufReader::with_capacity(256 << 10, reader);
        // Dropped at the end: whoever still writes is told that nobody reads.
        stream::mended_size(&mut metadata, trees, *enough)
    };
    match parallel::beside(&doing(), send, read)? {
        // What the kernel says explains why the stream is short; EPIPE explains nothing.
        (Err(error), _) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).doing(doing),
        (_, size) => size,
    }
}
