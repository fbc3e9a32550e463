//! Whatever the commands of a stream are, they touch what is below one directory, and nothing else; and until
//! all of them are carried out, nobody but root reaches what they make. Applies them, and looks.

#![allow(clippy::expect_used)] // A target panics if something does not hold.

use super::{Head, Receiver, decode, length};
use crate::snapshot::Uuid;
use crate::stream::instruction::Instruction;
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Nothing in a scratch tree is longer: reserved space is taken from the machine.
const LONGEST: u64 = 1 << 20;

/// Whatever the bytes are, they are a command or an error.
pub(crate) fn fuzz_commands(bytes: &[u8]) {
    if let Ok(Ok(whole)) = length(bytes) {
        for version in 1..=3 {
            let _ = decode(version, &bytes[..whole]);
        }
    }
}

/// The first byte says the protocol, and into what pieces the commands after it are cut.
pub(crate) fn fuzz(bytes: &[u8]) {
    let Some((&first, commands)) = bytes.split_first() else {
        return;
    };
    let (version, commands) = (1 + u32::from(first & 1), with_lengths(commands));
    if !crate::sys::makes_for_root() || is_large(version, &commands) {
        return;
    }
    let piece = [1, 7, 100, 4096][usize::from(first >> 1 & 3)];
    let scratch = ScratchTree::new();
    let before = scratch.outside();
    scratch.apply(version, &commands, piece);
    assert_eq!(before, scratch.outside(), "outside of the tree");
    fs::remove_dir_all(&scratch.base).expect("a scratch directory");
}

/// What claims to be longer than the rest is as long as that.
fn with_lengths(bytes: &[u8]) -> Vec<u8> {
    const HEADER: usize = 10;
    let (mut bytes, mut at) = (bytes.to_vec(), 0);
    while let Some(command) = bytes.get_mut(at..).filter(|rest| rest.len() >= HEADER) {
        let claimed = u32::from_le_bytes([command[0], command[1], command[2], command[3]]);
        let length = (claimed as usize).min(command.len() - HEADER);
        command[..4].copy_from_slice(&(length as u32).to_le_bytes());
        at += HEADER + length;
    }
    bytes
}

/// Whether one of the commands makes a file that would be in the way of the machine.
fn is_large(version: u32, mut bytes: &[u8]) -> bool {
    while let Ok(Ok(whole)) = length(bytes) {
        let end = match decode(version, &bytes[..whole]) {
            Ok(Instruction::Allocate { offset, length, .. }) => offset.saturating_add(length),
            Ok(Instruction::Truncate(_, size)) => size,
            Ok(Instruction::Write { offset, .. }) => offset,
            Ok(Instruction::Encoded(_, extent)) => extent.offset.saturating_add(extent.len),
            _ => 0,
        };
        if end > LONGEST {
            return true;
        }
        bytes = &bytes[whole..];
    }
    false
}

/// A directory that streams are applied in, and others beside it.
struct ScratchTree {
    base: PathBuf,
}

/// All that may not change of an entry.
type SeenAttributes = (u32, u32, u64, u64, (i64, i64), Option<Vec<u8>>);

impl ScratchTree {
    fn new() -> ScratchTree {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("buttersink-apply-{}-{number}", std::process::id());
        let scratch = ScratchTree {
            base: std::env::temp_dir().join(name),
        };
        scratch.fill().expect("a scratch directory");
        scratch
    }

    fn fill(&self) -> std::io::Result<()> {
        let at = |path: &str| self.base.join(path);
        let mut root_only = fs::DirBuilder::new();
        root_only.mode(0o700).create(&self.base)?;
        for dir in ["top", "outside", "outside/d"] {
            root_only.create(at(dir))?;
        }
        fs::write(at("outside/victim"), "good")?;
        fs::set_permissions(at("outside/victim"), PermissionsExt::from_mode(0o640))?;
        symlink("victim", at("outside/link"))
    }

    /// All that is there but the tree itself.
    fn outside(&self) -> BTreeMap<PathBuf, SeenAttributes> {
        let paths = ["", "outside", "outside/d"].map(|dir| self.base.join(dir));
        let below = paths
            .iter()
            .flat_map(|dir| fs::read_dir(dir).expect("a scratch directory"));
        let below = below.map(|entry| entry.expect("an entry").path());
        let all = below.filter(|path| path.file_name() != Some("top".as_ref()));
        all.map(|path| (path.clone(), seen(&path))).collect()
    }

    fn apply(&self, version: u32, commands: &[u8], piece: usize) {
        let head = Head {
            version,
            path: b"snap".to_vec(),
            uuid: Uuid([1; 16]),
            ctransid: 7,
            parent: None,
        };
        let top = self.base.join("top");
        let open = File::open(&top).expect("a scratch directory");
        let mut receiver =
            Receiver::new(&head, open, None, Vec::new()).expect("a directory of ours");
        for piece in commands.chunks(piece) {
            let fed = receiver.feed(piece);
            let metadata = top.metadata().expect("a scratch directory");
            assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o700, 0));
            if fed.is_err() {
                return;
            }
        }
        if let Ok(received) = receiver.finish() {
            let _ = received.settle();
        }
    }
}

fn seen(path: &Path) -> SeenAttributes {
    let m: Metadata = path.symlink_metadata().expect("an entry");
    let content = m.is_file().then(|| fs::read(path).expect("a file"));
    (
        m.mode(),
        m.uid(),
        m.nlink(),
        m.size(),
        (m.ctime(), m.ctime_nsec()),
        content,
    )
}
