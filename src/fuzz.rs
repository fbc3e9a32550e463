//! What reads bytes that others made, each with what must hold whatever the bytes are: no panic, no
//! memory that is only claimed, and the same again when it is written and read once more. The package in
//! `fuzz/` runs them on new bytes, and a test here on the seeds.

use crate::backup::btrbk;
use crate::backup::config::{Config, OwnFiles};
use crate::backup::retention::{self, Policy};
use crate::cli;
use crate::error::{Error, Result};
use crate::glob;
use crate::s3::{self, xml};
use crate::snapshot::{Diff, Listing, Size, Sizes, Uuid, path_text};
use crate::store::bucket::archive::manifest::Manifest;

use crate::store::remote::Remote;
use crate::store::{self, Access, Hello, Location, Receipt, Sink, Store, serve};
use crate::stream::{Head, MOST, Touched, stored};
use crate::{btrfs, checksum, objects, receive};
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The name of a target, and what it does with some bytes. It panics if something does not hold.
pub type FuzzTarget = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[FuzzTarget] = &[
    ("stream", stream),
    ("commands", receive::fuzz_commands),
    ("apply", receive::fuzz_apply),
    ("paths", paths),
    ("client", client),
    ("server", server),
    ("xml", xml),
    ("keys", keys),
    ("hints", store::fuzz_hints),
    ("seals", store::local::fuzz_seals),
    ("manifest", manifest),
    ("config", config),
    ("btrbk", foreign_config),
    ("mounts", btrfs::fuzz_mounts),
    ("credentials", s3::fuzz_credentials),
    ("lists", checksum::fuzz_lists),
    ("values", values),
    ("options", cli::fuzz_options),
    ("patterns", patterns),
];

/// A stored stream, as it is and with its checksums made right, which no mutation would hit.
fn stream(bytes: &[u8]) {
    let right = with_sums(bytes);
    for mut bytes in [bytes, &right] {
        if let Ok(head) = Head::read(&mut &bytes[..]) {
            let again = head.encode();
            assert_eq!(Head::read(&mut &again[..]).ok(), Some(head));
        }
        let _ = Touched::read(&mut &bytes[..], MOST);
        let _ = stored::rehearse(&mut bytes, None, |_| Ok(()));
    }
}

/// The same stream with each command's checksum made right. What is claimed to be longer than the rest
/// is as long as that.
fn with_sums(bytes: &[u8]) -> Vec<u8> {
    const HEADER: usize = 17;
    const COMMAND: usize = 10;
    let mut bytes = bytes.to_vec();
    let mut at = HEADER;
    while let Some(command) = bytes.get_mut(at..).filter(|rest| rest.len() >= COMMAND) {
        let claimed = u32::from_le_bytes([command[0], command[1], command[2], command[3]]);
        let length = (claimed as usize).min(command.len() - COMMAND);
        let command = &mut command[..COMMAND + length];
        command[..4].copy_from_slice(&(length as u32).to_le_bytes());
        command[6..COMMAND].fill(0);
        let sum = !crc32c::crc32c_append(!0, command);
        command[6..COMMAND].copy_from_slice(&sum.to_le_bytes());
        at += COMMAND + length;
    }
    bytes
}

fn paths(bytes: &[u8]) {
    let path = Path::new(OsStr::from_bytes(bytes));
    assert_eq!(
        path_text::decode(&path_text::encode(path)).as_deref(),
        Some(path)
    );
    let text = String::from_utf8_lossy(bytes);
    if let Some(path) = path_text::decode(&text) {
        assert_eq!(path_text::decode(&path_text::encode(&path)), Some(path));
    }
}

/// A client that says these bytes, to a server that grants all.
fn client(bytes: &[u8]) {
    let _ = serve::serve(|_| Ok(Box::new(Nothing)), Access::Write, bytes, io::sink());
}

/// A server that says these bytes, whatever it is asked.
fn server(bytes: &[u8]) {
    let mut said = Some(bytes.to_vec());
    let dial = move || -> Result<store::remote::Pipes> {
        let said = said
            .take()
            .ok_or_else(|| Error::failed("cannot dial", "again"))?;
        Ok((Box::new(io::Cursor::new(said)), Box::new(io::sink())))
    };
    let Ok(mut far) = Remote::connect("far", Access::Write, Hello::here(), Box::new(dial)) else {
        return;
    };
    let Ok(listing) = far.list() else {
        return;
    };
    for snapshot in listing.snapshots.iter().take(3) {
        let diff = Diff::new(snapshot.id(), None, Size::Unknown);
        if let Ok(mut stream) = far.send(&diff) {
            let _ = io::copy(&mut stream, &mut io::sink());
        }
    }
}

/// A store without snapshots, which takes everything and keeps nothing.
struct Nothing;

impl Store for Nothing {
    fn list(&mut self) -> Result<Listing> {
        Ok(Listing::default())
    }

    fn measure(&mut self, _: &[Diff]) -> Result<Sizes> {
        Ok(Sizes::default())
    }

    fn send(&mut self, _: &Diff) -> Result<Box<dyn Read + '_>> {
        Ok(Box::new(io::repeat(7).take(100)))
    }

    fn receive(&mut self, _: &Diff, path: &Path) -> Result<Box<dyn Sink + '_>> {
        assert!(path.is_relative());
        Ok(Box::new(Nothing))
    }

    fn copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        assert!(from.is_relative() && to.is_relative());
        Ok(())
    }

    fn delete(&mut self, path: &Path) -> Result<()> {
        assert!(path.is_relative());
        Ok(())
    }
}

impl Write for Nothing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Nothing {
    fn finish(self: Box<Self>) -> Result<Receipt> {
        Ok(Receipt::default())
    }
}

fn xml(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = xml::Node::parse(&text);
    let whole = format!("<a><b>{}</b></a>", xml::escaped(&text));
    let again = xml::Node::parse(&whole);
    // What XML cannot hold is refused.
    assert!(again.is_none_or(|node| node.exact("b") == text));
}

fn keys(bytes: &[u8]) {
    store::fuzz_keys(bytes);
    objects::directory::fuzz_names(bytes);
    store::fuzz_names(bytes);
}

/// The sizes of chunks add up, so that nothing that is computed from them overflows.
fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::parse("host/subvol/home/full/manifest-x.json", bytes) {
        let sizes = manifest.chunks.iter().map(|chunk| chunk.size);
        assert_eq!(sizes.sum::<u64>(), manifest.total_bytes);
    }
}

fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = Config::parse(
        "a file",
        &text,
        &OwnFiles::of(Path::new("/etc/buttersink/x.toml")),
    );
}

/// What becomes of a file of btrbk is a file of ours, whatever is called how there.
fn foreign_config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(imported) = btrbk::import("a file", &text) else {
        return;
    };
    let ours = imported.draft.to_string();
    let table = ours.parse::<toml::Table>();
    assert!(table.is_ok(), "{table:?}");
    // What a pattern means is for the filesystem to say.
    let patterns = ours
        .lines()
        .any(|line| line.starts_with("path = ") && line.contains(['*', '?', '[']));
    if table.is_ok_and(|table| table.contains_key("subvolume")) && !patterns {
        let places = OwnFiles::of(Path::new("/etc/buttersink/x.toml"));
        let config = Config::parse("ours", &ours, &places);
        assert!(config.is_ok(), "{:?}", config.err());
    }
}

/// Words of command lines and configurations.
fn values(bytes: &[u8]) {
    let word = OsStr::from_bytes(bytes);
    let text = word.to_string_lossy();
    let _ = (Policy::parse(&text), retention::age(&text));
    let _ = (
        text.parse::<s3::Checksum>(),
        text.parse::<crate::archive::Tier>(),
    );
    if let Ok(uuid) = text.parse::<Uuid>() {
        assert!(uuid.to_string().eq_ignore_ascii_case(&text));
    }
    // A local one may be looked up.
    if let Ok(location) = Location::directory(word)
        && location.place.directory().is_none()
    {
        let _ = Location::source(word);
    }
}

/// A pattern, a newline, and a path: what is said of them is what a slower reader says.
fn patterns(bytes: &[u8]) {
    let mut halves = bytes.splitn(2, |&byte| byte == b'\n');
    let (Some(pattern), Some(path)) = (halves.next(), halves.next()) else {
        return;
    };
    let path = Path::new(OsStr::from_bytes(path));
    let found = glob::matches(pattern, path);
    let plain = |byte: &u8| !b"*?[\\/".contains(byte);
    if pattern.iter().all(plain) {
        let mut names = path.as_os_str().as_bytes().split(|&byte| byte == b'/');
        assert_eq!(found, names.any(|name| name == pattern));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/seeds")
            .join(target);
        let files = fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        files
            .map(|file| fs::read(file.unwrap().path()).unwrap())
            .collect()
    }

    /// Each seed, cut off and with a byte turned over in some places.
    fn variants(seed: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        let step = seed.len() / 60 + 1;
        let places = (0..seed.len()).step_by(step);
        let cut = places.clone().map(|at| seed[..at].to_vec());
        let turned = places.flat_map(|at| {
            [1, 0x80, 0xff].map(|bits| {
                let mut other = seed.to_vec();
                other[at] ^= bits;
                other
            })
        });
        std::iter::once(seed.to_vec()).chain(cut).chain(turned)
    }

    #[test]
    fn seeds_and_their_neighbours_hold() {
        for (name, target) in TARGETS {
            let seeds = seeds(name);
            assert!(!seeds.is_empty(), "{name}");
            for bytes in seeds.iter().flat_map(|seed| variants(seed)) {
                target(&bytes);
            }
        }
    }

    #[test]
    fn no_seeds_are_left_over() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
        for entry in fs::read_dir(dir).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(
                TARGETS.iter().any(|(target, _)| *target == name),
                "{name:?}"
            );
        }
    }
}
