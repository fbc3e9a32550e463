//! What the two halves of ssh share: frames on a pair of pipes, the greeting, the requests and
//! what each needs. Knows no store and no ssh. `man 5 buttersink-protocol` describes the bytes.

mod alive;
mod hello;
mod request;

pub(crate) use alive::{Descriptors, Half};
pub use hello::Hello;
pub(crate) use hello::{BOUND, CLONES, HEARTBEAT, HOLD, ORIGIN, WATCH};
pub(crate) use request::{Added, Request, inside};

use crate::error::{Error, Kind};
use crate::pace::Pace;
use crate::sys;
use crate::text::json;
use alive::{Alive, PAGE};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// The version of everything below. What is added to it later is a word in [`Hello::words`].
pub(crate) const PROTOCOL: u32 = 3;
/// The oldest version that we still talk with.
pub(crate) const OLDEST: u32 = 2;
/// The longest body of a [`Tag::Data`] frame.
pub(crate) const MAX_DATA: usize = 1 << 20;
/// The longest body of any other frame: a listing of some ten thousand snapshots.
const MAX_WORDS: usize = 16 << 20;
/// As many values as such a frame has: some can take fifty times the memory of their text.
const MAX_VALUES: usize = 1 << 20;
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
    /// How far the work is whose answer is waited for.
    Watched = b'W',
    /// Says nothing but that somebody is there. Who reads does not hear of it.
    Heartbeat = b'B',
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
            Tag::Watched,
            Tag::Heartbeat,
        ];
        all.into_iter().find(|&tag| tag as u8 == byte)
    }

    fn permits(self, length: usize) -> bool {
        match self {
            // An empty one would be neither progress nor an end.
            Tag::Data => (1..=MAX_DATA).contains(&length),
            Tag::Request | Tag::Answer => length <= MAX_WORDS,
            Tag::Hello | Tag::End | Tag::Fail | Tag::Watched => length <= MAX_FAIL,
            Tag::Heartbeat => length == 0,
        }
    }
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
    alive: Option<Arc<Alive>>,
    // Before the reader, so that it closes first: then a child at the other end goes by itself.
    writer: W,
    reader: R,
    /// How long anything but heartbeats has been waited for.
    waited: Duration,
    /// Of the frame that has begun.
    pace: Pace,
}

impl<R: Read, W: Write> Wire<R, W> {
    /// With descriptors, whoever says nothing is given up.
    pub(crate) fn new(reader: R, writer: W, ends: Option<Descriptors>, half: Half) -> Self {
        let alive = ends.map(|ends| Alive::attend(ends, half));
        Wire {
            alive,
            writer,
            reader,
            waited: Duration::ZERO,
            pace: Pace::new(Duration::MAX),
        }
    }

    /// What we say of ourselves: who cannot be waited for does not say that he lives.
    pub(crate) fn honest(&self, mut here: Hello) -> Hello {
        let waits = self.alive.is_some();
        here.words.retain(|word| waits || word != HEARTBEAT);
        here
    }

    /// Both greetings were said: if both have the word, silence is an end from now on.
    pub(crate) fn greeted(&self, here: &Hello, far: &Hello) {
        if let Some(alive) = &self.alive
            && here.can(HEARTBEAT)
            && far.can(HEARTBEAT)
        {
            alive.begin();
        }
    }

    /// Whether the other side ended the connection between two turns.
    pub(crate) fn has_hung_up(&self) -> bool {
        self.alive.as_ref().is_some_and(|alive| alive.has_hung_up())
    }

    /// The head of the next request, which is waited for in the other side's turn.
    pub(crate) fn next_request(&mut self) -> io::Result<Option<(Tag, usize)>> {
        self.waited = Duration::ZERO;
        self.busy(false);
        let head = self.head();
        self.busy(true);
        head
    }

    fn busy(&self, ours: bool) {
        if let Some(alive) = &self.alive {
            alive.busy(ours);
        }
    }

    /// Writes a frame, as one system call where the pipe has room.
    pub(crate) fn put(&mut self, tag: Tag, body: &[u8]) -> io::Result<()> {
        if !tag.permits(body.len()) {
            let said = format!("{} bytes are too many for one frame", body.len());
            return Err(Error::failed("cannot talk to the other side", said).into());
        }
        let mut header = [tag as u8, 0, 0, 0, 0];
        header[1..].copy_from_slice(&(body.len() as u32).to_le_bytes());
        let alive = self.alive.clone();
        let mut frame = alive.as_ref().map(|alive| alive.frame()).transpose()?;
        let mut slices = &mut [IoSlice::new(&header), IoSlice::new(body)][..];
        while !slices.is_empty() {
            match self.write_some(slices) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => IoSlice::advance_slices(&mut slices, n),
                Err(error) => again(error)?,
            }
        }
        self.writer.flush()?;
        if let Some(frame) = &mut frame {
            frame.done();
        }
        Ok(())
    }

    /// Where a write must not wait for ever it is no longer than what fits for certain.
    fn write_some(&mut self, slices: &[IoSlice]) -> io::Result<usize> {
        let Some(alive) = &self.alive else {
            return self.writer.write_vectored(slices);
        };
        alive.room()?;
        let first = &slices[0][..slices[0].len().min(PAGE)];
        let second = slices.get(1).map_or(&[][..], |slice| &slice[..]);
        let second = &second[..second.len().min(PAGE - first.len())];
        self.writer
            .write_vectored(&[IoSlice::new(first), IoSlice::new(second)])
    }

    /// Writes a frame whose body is JSON.
    pub(crate) fn say<T: Serialize>(&mut self, tag: Tag, value: &T) -> io::Result<()> {
        self.put(tag, &serde_json::to_vec(value)?)
    }

    /// The kind and length of the next frame, whose body the caller has to read; `None` if the
    /// other side hung up between two frames.
    pub(crate) fn head(&mut self) -> io::Result<Option<(Tag, usize)>> {
        loop {
            match self.any_head()? {
                Some((Tag::Heartbeat, _)) => {}
                other => {
                    self.waited = Duration::ZERO;
                    return Ok(other);
                }
            }
        }
    }

    fn any_head(&mut self) -> io::Result<Option<(Tag, usize)>> {
        let (mut header, mut have) = ([0; 5], 0);
        while have < header.len() {
            let more = match have {
                0 => self.fill(&mut header),
                _ => self.more(&mut header[have..]),
            };
            match more {
                Ok(0) if have == 0 => return Ok(None),
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    if let Some(alive) = self.alive.as_ref().filter(|_| have == 0) {
                        self.pace = alive.pace();
                    }
                    have += n;
                }
                Err(error) => again(error)?,
            }
        }
        let length = u32::from_le_bytes([header[1], header[2], header[3], header[4]]) as usize;
        match Tag::known(header[0]) {
            Some(tag) if tag.permits(length) => Ok(Some((tag, length))),
            _ => Err(no_frame(&header).into()),
        }
    }

    /// Some of the body of a [`Tag::Data`] frame.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.more(buf)?;
        self.waited = Duration::ZERO;
        Ok(n)
    }

    /// What comes of a frame that has begun, which is not to come byte by byte.
    fn more(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let before = self.waited;
        let count = self.fill(buf)?;
        match &self.alive {
            Some(alive) if !self.pace.keeps(count, self.waited - before) => Err(alive.drips()),
            _ => Ok(count),
        }
    }

    /// What came meanwhile, else what comes.
    fn fill(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(alive) = &self.alive else {
            return self.reader.read(buf);
        };
        let read = match alive.take(buf) {
            0 => alive
                .wait(&mut self.waited)
                .and_then(|()| self.reader.read(buf)),
            n => Ok(n),
        };
        alive.heard(matches!(read, Ok(1..)));
        read
    }

    /// The body of a frame that is not [`Tag::Data`]. Memory grows as bytes arrive: a length that
    /// is only claimed costs nothing. It has to come at last: byte by byte it is no request yet.
    pub(crate) fn body<T: DeserializeOwned>(&mut self, length: usize) -> io::Result<T> {
        let (mut bytes, mut piece) = (Vec::new(), [0; 16 << 10]);
        while bytes.len() < length {
            let want = piece.len().min(length - bytes.len());
            match self.more(&mut piece[..want]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => bytes.extend_from_slice(&piece[..n]),
                Err(error) => again(error)?,
            }
        }
        json::read(&bytes, MAX_VALUES).map_err(|error| strange(&error.to_string()).into())
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
    use crate::snapshot::{Diff, Size, Snapshot, Uuid};

    fn wire(bytes: &[u8]) -> Wire<&[u8], Vec<u8>> {
        Wire::new(bytes, Vec::new(), None, Half::Client)
    }

    fn head(tag: u8, length: u32) -> io::Result<Option<(Tag, usize)>> {
        let bytes = [&[tag][..], &length.to_le_bytes()].concat();
        wire(&bytes).head()
    }

    #[test]
    fn frames_survive() {
        let mut wire = Wire::new(io::empty(), Vec::new(), None, Half::Client);
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
            (b'W', MAX_FAIL),
        ] {
            let most = most as u32;
            assert!(head(tag, most).is_ok());
            assert!(head(tag, most + 1).is_err());
            assert!(head(tag, u32::MAX).is_err());
        }
        assert!(head(b'D', 0).is_err());
        for tag in (0..=255).filter(|tag| !b"HQADEFBW".contains(tag)) {
            assert!(head(tag, 1).is_err());
        }
    }

    #[test]
    fn heartbeats_are_not_heard() {
        assert!(head(b'B', 1).is_err());
        let two = b"B\0\0\0\0B\0\0\0\0";
        assert!(wire(two).head().unwrap().is_none());
        let then = [&two[..], b"E\x02\0\0\0{}"].concat();
        assert_eq!(wire(&then).head().unwrap(), Some((Tag::End, 2)));
        assert!(wire(&two[..7]).head().is_err());
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

    /// A request of the longest length, of nothing but short values, as a tree would have taken half a gigabyte.
    #[test]
    fn short_values_fill_no_memory() {
        let values = |count: usize| {
            let zeros = "0,".repeat(count - 1);
            format!(r#"{{"ask":"delete","path":"a","x":[{zeros}0]}}"#)
        };
        let said = |text: &str| {
            let heard = wire(text.as_bytes()).body::<Request>(text.len());
            heard.unwrap_err().to_string()
        };
        assert!(said(&values(MAX_VALUES)).contains("more than 1048576 values"));
        assert!(said(&values(8)).contains("unknown field"));
        // In the same room there are more diffs and snapshots than a frame holds.
        let (id, time) = (Uuid([255; 16]), 1 << 30);
        let diff = Diff::new(id, Some(id), Size::Exact(time));
        let snapshot = Snapshot {
            path: "2026-11-30".into(),
            uuid: id,
            parent_uuid: Some(id),
            created: Some(1 << 30),
            ..Snapshot::default()
        };
        fits(&vec![diff; 100]);
        fits(&vec![snapshot; 100]);
    }

    #[track_caller]
    fn fits<T: Serialize + DeserializeOwned>(value: &T) {
        let text = serde_json::to_vec(value).unwrap();
        assert!(json::read::<T>(&text, text.len() * MAX_VALUES / MAX_WORDS).is_ok());
    }

    #[test]
    fn words_of_others_are_plain() {
        assert_eq!(plain("a\\b\u{1b}[0m\n"), "a\\b\\u{1b}[0m\\n");
    }
}
