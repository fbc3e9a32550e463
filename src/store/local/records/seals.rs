//! The seals of a filesystem: a line for each thing that is known of a subvolume. Knows lines, and judges
//! nothing.

use super::state_dir::{StateDir, options};
use crate::btrfs::Subvolume;
use crate::error::{Doing, Error, Result};
use crate::snapshot::{Origin, Uuid, path_text};
use crate::text::json;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The file that holds them.
pub(super) const SEALS: &str = "seals";

/// What was recorded of a received snapshot when it was whole and durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Seal {
    #[serde(rename = "received")]
    pub(crate) received_uuid: Uuid,
    pub(crate) stransid: u64,
    pub(crate) ctransid: u64,
}

/// A line of the seals, as this release writes it. What is not known of a subvolume is left out, and
/// of several lines the last that has a member counts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct SealLine {
    version: u32,
    pub(super) uuid: Uuid,
    #[serde(flatten)]
    pub(super) fact: Fact,
}

/// What a line says of its subvolume.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Fact {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seal: Option<Seal>,
    /// What will be the seal, if it has its name by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pending: Option<Pending>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<Origin>,
    /// Bytes of the stream by which it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<u64>,
    /// Whether it is still to be compared with its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uncompared: Option<bool>,
    /// Whether another takes its place and its name, and it is to be removed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaced: Option<bool>,
}

/// A seal that was written before the snapshot got its name: by a crash between the two, the snapshot
/// with that name is what was received, if it is as it was then.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// The name within its directory, encoded as marks have it.
    name: String,
    seal: Seal,
}

impl Pending {
    /// Of a subvolume that is whole and durable, and will have this name.
    pub(crate) fn of(subvolume: &Subvolume, name: &OsStr) -> Option<Pending> {
        Some(Pending {
            name: path_text::encode(Path::new(name)),
            seal: Seal::of(subvolume)?,
        })
    }

    /// The seal, if it is of this subvolume as it is now, under the name that it was to have.
    pub(crate) fn becomes(&self, now: &Subvolume) -> Option<Seal> {
        let named = now
            .path
            .file_name()
            .is_some_and(|name| self.is_called(name));
        Some(self.seal).filter(|seal| named && now.read_only && Seal::of(now) == Some(*seal))
    }

    fn is_called(&self, name: &OsStr) -> bool {
        path_text::decode(&self.name).is_some_and(|path| path.as_os_str() == name)
    }
}

/// The form of [`SealLine`]; lines of version 1 had four fields and no version.
const VERSION: u32 = 2;

/// As many values as a line has, of a later release too.
const VALUES: usize = 1000;

/// The generation in the seal of a copy that was found to be unlike its source. None has it, so
/// that it is taken for altered, also by those who do not know what this means.
const REJECTED: u64 = 0;

impl Seal {
    /// The one that a received subvolume would get now.
    pub(crate) fn of(subvolume: &Subvolume) -> Option<Seal> {
        Some(Seal {
            received_uuid: subvolume.received_uuid?,
            stransid: subvolume.stransid,
            ctransid: subvolume.ctransid,
        })
    }

    /// Of one that was made here: it is what it was, though its generation moved.
    pub(crate) fn of_made(subvolume: &Subvolume) -> Seal {
        Seal {
            received_uuid: Uuid::default(),
            stransid: 0,
            ctransid: subvolume.ctransid,
        }
    }

    /// One that says that the copy is unlike its source.
    pub(crate) fn rejecting(self) -> Seal {
        Seal {
            ctransid: REJECTED,
            ..self
        }
    }

    /// Whether it says that the copy is unlike its source.
    pub(crate) fn rejects(&self) -> bool {
        self.ctransid == REJECTED
    }
}

/// What a whole line says; `None` of one that is torn, or of another release.
pub(super) fn parse(line: &str) -> Option<SealLine> {
    let line = line.strip_suffix('\n')?;
    if line.starts_with('{') {
        let line: SealLine = json::read(line.as_bytes(), VALUES).ok()?;
        return (line.version == VERSION).then_some(line);
    }
    let mut fields = line.split(' ');
    let uuid = fields.next()?.parse().ok()?;
    let received_uuid = fields.next()?.parse().ok()?;
    let (stransid, ctransid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let seal = Seal {
        received_uuid,
        stransid,
        ctransid,
    };
    fields.next().is_none().then_some(SealLine {
        version: 1,
        uuid,
        fact: Fact {
            seal: Some(seal),
            ..Fact::default()
        },
    })
}

/// Whether a line says something that is not understood: a later release wrote it, or nobody did. What a crash
/// tore is neither, and counts for nothing.
pub(super) fn is_strange(line: &str) -> bool {
    let torn = |line: &str| {
        let read = serde_json::from_str::<IgnoredAny>(line);
        read.is_err_and(|error| error.is_eof())
    };
    line.ends_with('\n') && parse(line).is_none() && !torn(line)
}

/// Records durably what is known of a subvolume.
pub(crate) fn add(dir: &Path, uuid: Uuid, fact: Fact) -> Result<()> {
    add_all(dir, [(uuid, fact)])
}

/// The same of several, in one go.
pub(crate) fn add_all(dir: &Path, facts: impl IntoIterator<Item = (Uuid, Fact)>) -> Result<()> {
    let state = StateDir::made(dir)?;
    let mut lines = String::new();
    for (uuid, fact) in facts {
        let version = VERSION;
        let line = serde_json::to_string(&SealLine {
            version,
            uuid,
            fact,
        });
        let doing = || format!("cannot write {}", state.shown(SEALS));
        lines += &line.map_err(|error| Error::failed(doing(), error.to_string()))?;
        lines.push('\n');
    }
    append(&state, &lines)
}

/// Adds lines, durably.
pub(super) fn append(state: &StateDir, lines: &str) -> Result<()> {
    let add = || {
        let mut options = options();
        options.read(true).append(true).create(true);
        let mut file = state.open(SEALS, &options)?;
        // Two runs into two directories have the same seals.
        file.lock()?;
        let torn = ends_torn(&mut file)?;
        let begin = if torn { "\n" } else { "" };
        file.write_all(format!("{begin}{lines}").as_bytes())?;
        file.sync_all()
    };
    add().doing(|| format!("cannot write {}", state.shown(SEALS)))
}

/// Whether a crash tore the last line.
fn ends_torn(file: &mut File) -> std::io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Forgets the seal of a subvolume that is gone, so that the file does not grow for ever.
pub(crate) fn remove(dir: &Path, uuid: Uuid) -> Result<()> {
    let Some(state) = StateDir::of(dir, false)? else {
        return Ok(());
    };
    let held = match state.open(SEALS, options().read(true).write(true)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        file => file.doing(|| format!("cannot open {}", state.shown(SEALS)))?,
    };
    held.lock()
        .doing(|| format!("cannot lock {}", state.shown(SEALS)))?;
    let text = state.read(SEALS)?.unwrap_or_default();
    // A line of a later release is not ours to drop.
    let other = |line: &&str| parse(line).is_none_or(|line| line.uuid != uuid);
    let kept: String = text.split_inclusive('\n').filter(other).collect();
    match kept.len() == text.len() {
        true => Ok(()),
        false => state.replace(SEALS, &kept),
    }
}

#[cfg(any(test, feature = "fuzz"))]
/// A line of seals says the same when it is written and read again.
pub(crate) fn fuzz(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for line in text.split_inclusive('\n').filter_map(parse) {
        let again = serde_json::to_string(&SealLine {
            version: VERSION,
            ..line.clone()
        });
        let again = again.ok().and_then(|text| parse(&format!("{text}\n")));
        assert!(again.is_some_and(|again| again.fact == line.fact));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_count() {
        let good =
            "0e2cbe19-93d2-4d49-a0bb-4ea2e8a2a0c1 1e2cbe19-93d2-4d49-a0bb-4ea2e8a2a0c1 7 10\n";
        assert!(parse(good).is_some());
        assert!(
            parse(good.trim_end()).is_none(),
            "torn after the last digit, or inside the number"
        );
        assert!(parse(&good.replace(" 10", "")).is_none());
        assert!(parse(&good.replace(" 10", " 10 x")).is_none());
        assert!(parse("\n").is_none());
    }

    #[test]
    fn lines_of_this_release() {
        let line = SealLine {
            version: VERSION,
            uuid: Uuid([1; 16]),
            fact: Fact {
                origin: Some(Origin::default()),
                uncompared: Some(true),
                ..Fact::default()
            },
        };
        let text = serde_json::to_string(&line).unwrap() + "\n";
        assert_eq!(parse(&text), Some(line));
        assert_eq!(parse(text.trim_end()), None);
        assert_eq!(parse(&text.replace("\"version\":2", "\"version\":3")), None);
    }

    #[test]
    fn what_is_strange_is_not_what_was_torn() {
        let line = format!(r#"{{"version":2,"uuid":"{}"}}"#, Uuid([1; 16])) + "\n";
        let later = line.replace(":2,", ":3,");
        let torn = |length: usize| format!("{}\n", &line[..length]);
        for known in [&*line, line.trim_end(), &torn(20), &torn(0)] {
            assert!(!is_strange(known), "{known}");
        }
        for strange in [&*later, "garbage\n", "\u{1}\u{fffd}\n"] {
            assert!(is_strange(strange), "{strange}");
        }
    }
}
