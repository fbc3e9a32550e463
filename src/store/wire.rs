//! What the two halves of ssh share: frames on a pair of pipes, the greeting, the requests and
//! what each needs. Knows no store and no ssh. `man 5 buttersink-protocol` describes the bytes.

use crate::btrfs;
use crate::error::{Error, Kind, Result};
use crate::process;
use crate::snapshot::{Diff, path_text};
use crate::store::Access;
use crate::sys;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The version of everything below. Two programs talk only if theirs are equal.
pub(crate) const PROTOCOL: u32 = 1;
/// The longest body of a [`Tag::Data`] frame.
pub(crate) const MAX_DATA: usize = 1 << 20;
/// The longest body of any other frame: a listing of some hundred thousand snapshots.
const MAX_WORDS: usize = 64 << 20;
/// Failures and greetings are short; a longer one is not one.
const MAX_FAIL: usize = 64 << 10;

/// What a frame is. The numbers are letters, so that a trace can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Tag {
    Hello = b'H',
    Request = b'Q',
    Answer = b'A',
    Data = b'D',
    End = b'E',
    Fail = b'F',
}

impl Tag {
    fn known(byte: u8) -> Option<Tag> {
        let all = [
            Tag::Hello,
            Tag::Request,
            Tag::Answer,
            Tag::Data,
            Tag::End,
            Tag::Fail,
        ];
        all.into_iter().find(|&tag| tag as u8 == byte)
    }

    fn permits(self, length: usize) -> bool {
        match self {
            // An empty one would be neither progress nor an end.
            Tag::Data => (1..=MAX_DATA).contains(&length),
            Tag::Request | Tag::Answer => length <= MAX_WORDS,
            Tag::Hello | Tag::End | Tag::Fail => length <= MAX_FAIL,
        }
    }
}

/// The first frame of each side.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Hello {
    /// The program's release.
    pub program: String,
    /// The version of this protocol that it speaks, and the only one.
    pub protocol: u32,
    /// The kernel's release.
    #[serde(default)]
    pub kernel: String,
    /// The release of btrfs-progs; empty if there are none.
    #[serde(default)]
    pub progs: String,
    /// The highest send stream protocol that the kernel can produce.
    #[serde(default)]
    pub sends: u32,
    /// What a server grants; `None` from a client.
    #[serde(default)]
    pub mode: Option<Access>,
    /// From a client: its streams have compressed extents as they are, in protocol 2.
    #[serde(default)]
    pub compressed: bool,
    /// From a client: the work has priority over nothing.
    #[serde(default)]
    pub background: bool,
}

/// Asked for once: a process has no time to be told of upgrades.
static PROGS: OnceLock<String> = OnceLock::new();

/// The version of btrfs-progs; empty if there are none, for buckets can be had without.
fn progs_version() -> String {
    let mut command = Command::new("btrfs");
    command.arg("--version");
    let text = process::run(command, "asking for its version").unwrap_or_default();
    let version = text.split_whitespace().nth(1).unwrap_or_default();
    version.trim_start_matches('v').to_owned()
}

impl Hello {
    /// What this machine says of itself.
    pub fn here() -> Hello {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease");
        Hello {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            kernel: kernel.unwrap_or_default().trim().to_owned(),
            progs: PROGS.get_or_init(progs_version).clone(),
            sends: btrfs::highest_send_protocol(),
            ..Hello::default()
        }
    }

    /// Whether its btrfs-progs unpack what `--compressed-data` sends: 6.2 or later.
    fn takes_compressed(&self) -> bool {
        let digits = |n: &str| n.split_once('-').map_or(n, |(n, _)| n).parse::<u32>().ok();
        let mut numbers = self.progs.split('.').map_while(digits);
        (numbers.next(), numbers.next().or(Some(0))) >= (Some(6), Some(2))
    }

    /// Whether the streams that `client` wants can be made or taken here.
    pub(crate) fn can_do(&self, client: &Hello, access: Access, place: &str) -> Result<()> {
        let (what, able) = match access {
            Access::Read => ("send", self.sends >= 2),
            _ => ("receive", self.takes_compressed()),
        };
        if able || !client.compressed {
            return Ok(());
        }
        let said = format!(
            "Linux {} and btrfs-progs {} there are too old (6.0 and 6.2 can): leave out --compressed-data",
            plain(&self.kernel),
            plain(&self.progs),
        );
        Err(Error::failed(
            format!("{place} cannot {what} compressed data"),
            said,
        ))
    }

    /// Whether the two can talk; if not, who has to upgrade.
    pub(crate) fn agrees(&self, far: &Hello, place: &str) -> Result<()> {
        let older = match self.protocol.cmp(&far.protocol) {
            std::cmp::Ordering::Equal => return Ok(()),
            std::cmp::Ordering::Less => "this machine",
            std::cmp::Ordering::Greater => place,
        };
        let said = format!(
            "it is buttersink {} and speaks protocol {}, and this is {} with protocol {}: upgrade buttersink on {older}",
            plain(&far.program),
            far.protocol,
            self.program,
            self.protocol,
        );
        Err(Error::failed(format!("cannot talk to {place}"), said))
    }
}

/// What a client can ask for: the methods of [`crate::store::Store`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    List,
    Measure {
        diffs: Vec<Diff>,
    },
    Send {
        diff: Diff,
    },
    Receive {
        diff: Diff,
        #[serde(with = "path_text")]
        path: PathBuf,
    },
    Copy {
        #[serde(with = "path_text")]
        from: PathBuf,
        #[serde(with = "path_text")]
        to: PathBuf,
    },
    Delete {
        #[serde(with = "path_text")]
        path: PathBuf,
    },
}

impl Request {
    /// The whole table of permissions.
    pub(crate) fn needs(&self) -> Access {
        match self {
            Request::List | Request::Measure { .. } | Request::Send { .. } => Access::Read,
            Request::Receive { .. } | Request::Copy { .. } => Access::Append,
            Request::Delete { .. } => Access::Write,
        }
    }

    /// What the request does, as the first half of an error.
    fn doing(&self) -> &'static str {
        match self {
            Request::List => "cannot list",
            Request::Measure { .. } => "cannot measure",
            Request::Send { .. } => "cannot send",
            Request::Receive { .. } => "cannot receive",
            Request::Copy { .. } => "cannot copy",
            Request::Delete { .. } => "cannot delete",
        }
    }

    /// Whether who was granted `access` may ask this, of names inside the directory.
    pub(crate) fn permitted(&self, access: Access) -> Result<()> {
        if self.needs() > access {
            let said = format!(
                "mode {} was granted, and this needs mode {}",
                letter(access),
                letter(self.needs())
            );
            return Err(Error::refused(self.doing(), said));
        }
        match self {
            Request::Receive { path, .. } | Request::Delete { path } => inside(path),
            Request::Copy { from, to } => inside(from).and_then(|()| inside(to)),
            Request::List | Request::Measure { .. } | Request::Send { .. } => Ok(()),
        }
        .map_err(|said| Error::refused(self.doing(), said))
    }
}

/// The letter that stands for an access on command lines.
pub(crate) fn letter(access: Access) -> char {
    match access {
        Access::Read => 'r',
        Access::Append => 'a',
        Access::Write => 'w',
    }
}

/// Whether a name from the other side stays inside the directory that it is relative to.
pub(crate) fn inside(path: &Path) -> std::result::Result<(), String> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = path.as_os_str().as_bytes();
    let normal = |component| matches!(component, Component::Normal(_));
    let parts = path.components().count();
    // `components` passes over `a//b`, `a/./b` and `a/`; the count of slashes does not.
    let tidy = bytes.iter().filter(|&&b| b == b'/').count() + 1 == parts;
    if tidy && path.components().all(normal) && !bytes.contains(&0) {
        return Ok(());
    }
    let path = crate::snapshot::shown(path);
    Err(format!("'{path}' is not a name inside the directory"))
}

/// The words of the other side without what could play tricks on a terminal.
pub(crate) fn plain(text: &str) -> String {
    crate::snapshot::shown(text).replace("\\\\", "\\")
}

/// An error as it crosses the wire.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// Nothing more comes after it.
    pub(crate) hangs_up: bool,
}

/// Frames: one byte of kind, four of length (little-endian), the body.
#[derive(Debug)]
pub(crate) struct Wire<R, W> {
    // First, so that it closes first: then a child at the other end goes by itself.
    writer: W,
    pub(crate) reader: R,
}

impl<R: Read, W: Write> Wire<R, W> {
    pub(crate) fn new(reader: R, writer: W) -> Self {
        Wire { writer, reader }
    }

    /// Writes a frame, as one system call where the pipe has room.
    pub(crate) fn put(&mut self, tag: Tag, body: &[u8]) -> io::Result<()> {
        if !tag.permits(body.len()) {
            let said = format!("{} bytes are too many for one frame", body.len());
            return Err(Error::failed("cannot talk to the other side", said).into());
        }
        let mut header = [tag as u8, 0, 0, 0, 0];
        header[1..].copy_from_slice(&(body.len() as u32).to_le_bytes());
        let mut slices = &mut [IoSlice::new(&header), IoSlice::new(body)][..];
        while !slices.is_empty() {
            match self.writer.write_vectored(slices) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => IoSlice::advance_slices(&mut slices, n),
                Err(error) => again(error)?,
            }
        }
        self.writer.flush()
    }

    /// Writes a frame whose body is JSON.
    pub(crate) fn say<T: Serialize>(&mut self, tag: Tag, value: &T) -> io::Result<()> {
        self.put(tag, &serde_json::to_vec(value)?)
    }

    /// The kind and length of the next frame, whose body the caller has to read; `None` if the
    /// other side hung up between two frames.
    pub(crate) fn head(&mut self) -> io::Result<Option<(Tag, usize)>> {
        let (mut header, mut have) = ([0; 5], 0);
        while have < header.len() {
            match self.reader.read(&mut header[have..]) {
                Ok(0) if have == 0 => return Ok(None),
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => have += n,
                Err(error) => again(error)?,
            }
        }
        let length = u32::from_le_bytes([header[1], header[2], header[3], header[4]]) as usize;
        match Tag::known(header[0]) {
            Some(tag) if tag.permits(length) => Ok(Some((tag, length))),
            _ => Err(no_frame(&header).into()),
        }
    }

    /// The body of a frame that is not [`Tag::Data`]. Memory grows as bytes arrive: a length that
    /// is only claimed costs nothing.
    pub(crate) fn body<T: DeserializeOwned>(&mut self, length: usize) -> io::Result<T> {
        let (mut bytes, mut piece) = (Vec::new(), [0; 16 << 10]);
        while bytes.len() < length {
            let want = piece.len().min(length - bytes.len());
            match self.reader.read(&mut piece[..want]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => bytes.extend_from_slice(&piece[..n]),
                Err(error) => again(error)?,
            }
        }
        serde_json::from_slice(&bytes).map_err(|error| strange(&error.to_string()).into())
    }
}

/// An interrupted call is made again, unless a signal asked us to stop.
pub(crate) fn again(error: io::Error) -> io::Result<()> {
    match error.kind() {
        ErrorKind::Interrupted if sys::interrupted() => Err(Error::new(
            Kind::Interrupted,
            "talking to the other side",
            "interrupted",
        )
        .into()),
        ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}

/// The other side said what the protocol does not know at this point.
pub(crate) fn strange(what: &str) -> Error {
    Error::damaged("cannot understand the other side", plain(what))
}

/// What a shell's greeting looks like to us.
fn no_frame(bytes: &[u8]) -> Error {
    let text = plain(&String::from_utf8_lossy(bytes));
    strange(&format!(
        "it said '{text}' where a frame should begin; if a login script there prints something, silence it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(bytes: &[u8]) -> Wire<&[u8], Vec<u8>> {
        Wire::new(bytes, Vec::new())
    }

    fn head(tag: u8, length: u32) -> io::Result<Option<(Tag, usize)>> {
        let bytes = [&[tag][..], &length.to_le_bytes()].concat();
        wire(&bytes).head()
    }

    #[test]
    fn frames_survive() {
        let mut wire = Wire::new(io::empty(), Vec::new());
        wire.put(Tag::Data, b"abc").unwrap();
        wire.say(Tag::Answer, &7).unwrap();
        assert_eq!(wire.writer, b"D\x03\0\0\0abcA\x01\0\0\x007");
        assert!(wire.put(Tag::Data, &vec![0; MAX_DATA + 1]).is_err());
    }

    #[test]
    fn lengths_are_bounded_before_anything_is_read() {
        for (tag, most) in [
            (b'D', MAX_DATA),
            (b'Q', MAX_WORDS),
            (b'A', MAX_WORDS),
            (b'H', MAX_FAIL),
            (b'E', MAX_FAIL),
            (b'F', MAX_FAIL),
        ] {
            let most = most as u32;
            assert!(head(tag, most).is_ok());
            assert!(head(tag, most + 1).is_err());
            assert!(head(tag, u32::MAX).is_err());
        }
        assert!(head(b'D', 0).is_err());
        for tag in (0..=255).filter(|tag| !b"HQADEF".contains(tag)) {
            assert!(head(tag, 1).is_err());
        }
    }

    #[test]
    fn a_cut_frame_is_not_an_end() {
        assert!(wire(b"").head().unwrap().is_none());
        for length in 1..5 {
            assert!(wire(&b"A\x04\0\0\0"[..length]).head().is_err());
        }
        let claimed = wire(b"123").body::<u32>(MAX_WORDS).unwrap_err();
        assert_eq!(claimed.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn names_stay_inside() {
        for good in ["a", "a/b", "..a", "a..", ".a/b c", "\u{fc}\n"] {
            assert_eq!(inside(Path::new(good)), Ok(()), "{good}");
        }
        let bad = [
            "", "/", "/a", "a/", "a//b", ".", "./a", "a/.", "..", "a/..", "../a", "a\0",
        ];
        for bad in bad {
            assert!(inside(Path::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn old_tools_are_known_by_their_version() {
        let takes = |progs: &str| {
            let progs = progs.to_owned();
            let hello = Hello {
                progs,
                ..Hello::default()
            };
            hello.takes_compressed()
        };
        for new in ["6.2", "6.2.1", "6.10", "7.0", "6.12-rc1.2"] {
            assert!(takes(new), "{new}");
        }
        for old in ["", "6.1.3", "5.16", "6.", "x"] {
            assert!(!takes(old), "{old}");
        }
        let here = Hello::here();
        assert!(here.kernel.contains('.') && here.can_do(&here, Access::Read, "x").is_ok());
    }

    #[test]
    fn words_of_others_are_plain() {
        assert_eq!(plain("a\\b\u{1b}[0m\n"), "a\\b\\u{1b}[0m\\n");
    }
}
