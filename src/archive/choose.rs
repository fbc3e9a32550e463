//! Which backup is wanted, and which that is. Looks at values only.

use super::backups::{Backup, Backups, cannot};
use crate::error::{Error, Result};
use crate::text::shown;
use jiff::Timestamp;
use std::path::Path;

/// Which backup is restored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Which {
    /// The one that the pointer names, or the newest that can be restored.
    Newest,
    /// The one whose manifest has this key.
    Key(String),
    /// The newest that was made then or before.
    At(Timestamp),
    /// That of the snapshot of this name.
    Snapshot(String),
}

impl Which {
    /// Why it is the one, for a person.
    pub fn words(&self) -> String {
        match self {
            Which::Newest => "the newest".to_owned(),
            Which::Key(_) => "by its key".to_owned(),
            Which::At(time) => format!("the newest at {time}"),
            Which::Snapshot(_) => "by its snapshot".to_owned(),
        }
    }

    fn store_options(&self, backup: &Backup) -> bool {
        match self {
            Which::At(time) => backup.created_at.moment().is_some_and(|made| made <= *time),
            Which::Snapshot(name) => {
                *name == backup.snapshot || backup.received_as() == Path::new(name)
            }
            Which::Newest | Which::Key(_) => true,
        }
    }
}

impl Backups {
    /// The key of the backup that is meant, with remarks for a person. One that is named by its key may
    /// lie elsewhere.
    ///
    /// # Errors
    /// If there is none, or it cannot be restored.
    pub fn choose(&self, which: &Which) -> Result<(String, Vec<String>)> {
        if let Which::Key(key) = which {
            return match self.broken(key) {
                Some(why) => Err(self.damaged(key, why)),
                None => Ok((key.clone(), Vec::new())),
            };
        }
        let meant: Vec<&Backup> = self.all.iter().filter(|b| which.store_options(b)).collect();
        let Some(chosen) = meant.iter().rfind(|backup| backup.broken.is_none()) else {
            return Err(self.none(which, meant.last().copied()));
        };
        let mut notes = Vec::new();
        if let Some(newest) = meant.last()
            && let Some(why) = &newest.broken
        {
            notes.push(cannot(&newest.key, why));
        }
        let key = match &self.current {
            Some(current) if *which == Which::Newest && *current != chosen.key => {
                self.as_pointed(current, &chosen.key, &mut notes)
            }
            _ => &chosen.key,
        };
        Ok((key.to_owned(), notes))
    }

    /// The pointer decides, as long as what it names can be restored.
    fn as_pointed<'a>(
        &self,
        current: &'a str,
        newest: &'a str,
        notes: &mut Vec<String>,
    ) -> &'a str {
        let note = match (self.get(current), self.broken(current)) {
            (Some(_), None) => {
                let newest = shown(newest);
                notes.push(format!(
                    "the pointer names an older backup than {newest}; --manifest-key {newest} takes that"
                ));
                return current;
            }
            (_, Some(why)) => cannot(current, why),
            (None, None) => cannot(current, "the pointer names it, and it is missing"),
        };
        if !notes.contains(&note) {
            notes.push(note);
        }
        newest
    }

    fn doing(&self) -> String {
        format!("cannot restore {}", shown(&self.name))
    }

    fn damaged(&self, key: &str, why: &str) -> Error {
        Error::damaged(self.doing(), cannot(key, why))
    }

    /// Why there is nothing to restore; `last` was meant, and is broken.
    fn none(&self, which: &Which, last: Option<&Backup>) -> Error {
        let last = last.and_then(|backup| Some((&backup.key, backup.broken.as_ref()?)));
        let unread = self.unread.last_key_value();
        let unread = unread.filter(|_| *which == Which::Newest);
        if let Some((key, why)) = last.or(unread) {
            return self.damaged(key, why);
        }
        let what = match which {
            Which::At(time) => format!("no backup was made before {time}"),
            Which::Snapshot(name) => format!("there is no backup of a snapshot {}", shown(name)),
            Which::Newest | Which::Key(_) => "there are no backups of it".to_owned(),
        };
        let said = format!("{what}; buttersink list --config FILE shows what there is");
        Error::failed(self.doing(), said)
    }
}

#[cfg(test)]
mod tests {
    use super::super::BackupKind;
    use super::*;

    fn archive(current: Option<&str>, broken: &[&str]) -> Backups {
        let backup = |day: u64| {
            let key = format!("m{day}");
            Backup {
                broken: broken.contains(&&*key).then(|| "torn".to_owned()),
                key,
                kind: BackupKind::Full,
                created_at: format!("2026010{day}T020000Z").as_str().into(),
                snapshot: format!("s{day}"),
                path: format!("/x/p{day}").into(),
                id: None,
                origin: None,
                parent: None,
                bytes: 1,
                chain_bytes: Some(1),
                chunks: vec!["c".to_owned()],
                class: "STANDARD".to_owned(),
                state: None,
                command: None,
            }
        };
        Backups {
            name: "data".to_owned(),
            all: (1..=3).map(backup).collect(),
            current: current.map(str::to_owned),
            ..Backups::default()
        }
    }

    #[track_caller]
    fn expect(archive: &Backups, which: &Which, key: &str, note: &str) {
        let (found, notes) = archive.choose(which).unwrap();
        assert_eq!(found, key);
        let notes = notes.join("\n");
        assert!(notes.contains(note), "{notes}");
        assert_eq!(notes.is_empty(), note.is_empty(), "{notes}");
    }

    #[test]
    fn the_newest_is_what_the_pointer_names() {
        let newest = Which::Newest;
        expect(&archive(Some("m3"), &[]), &newest, "m3", "");
        expect(&archive(None, &[]), &newest, "m3", "");
        expect(&archive(Some("m2"), &[]), &newest, "m2", "older backup");
        expect(&archive(Some("m3"), &["m3"]), &newest, "m2", "torn");
        expect(&archive(Some("gone"), &[]), &newest, "m3", "missing");
        expect(&archive(Some("m2"), &["m2"]), &newest, "m3", "torn");
        let all = archive(Some("m3"), &["m1", "m2", "m3"]).choose(&newest);
        assert!(all.unwrap_err().said.contains("torn"));
        let error = Backups::default().choose(&newest).unwrap_err();
        assert!(error.said.contains("no backups"), "{error}");
    }

    #[test]
    fn at_a_time_and_by_name() {
        let at = |text: &str| Which::At(text.parse().unwrap());
        let sound = archive(Some("m3"), &[]);
        expect(&sound, &at("2026-01-02T02:00:00Z"), "m2", "");
        expect(&sound, &at("2026-01-02T01:59:59Z"), "m1", "");
        let torn = archive(None, &["m2"]);
        expect(&torn, &at("2026-01-02T12:00:00Z"), "m1", "torn");
        assert!(sound.choose(&at("2025-01-01T00:00:00Z")).is_err());
        let named = |name: &str| Which::Snapshot(name.to_owned());
        expect(&sound, &named("s2"), "m2", "");
        expect(&sound, &named("p2"), "m2", "");
        assert!(sound.choose(&named("s9")).is_err());
        let error = torn.choose(&named("s2")).unwrap_err();
        assert!(error.said.contains("torn"), "{error}");
        let key = |key: &str| Which::Key(key.to_owned());
        expect(&sound, &key("elsewhere"), "elsewhere", "");
        assert!(torn.choose(&key("m2")).is_err());
    }
}
