//! Archives as chains: what can be restored, from when, how large, and how it is done by hand; and
//! what runs left. For people, and for scripts in `json`.

use crate::archive::{ArchiveState, Backup, Backups};
use crate::text::{counted, human, shown};

/// An archive as a table.
pub fn text(archive: &Backups) -> String {
    let count = counted(archive.all.len(), "backup");
    let mut text = format!(
        "{}: {count} in {}\n",
        shown(&archive.name),
        archive.location
    );
    for backup in &archive.all {
        text += &row(archive, backup);
        if let Some(command) = &backup.command {
            text += &format!("    {command}\n");
        }
    }
    for (key, why) in &archive.unread {
        text += &format!("  broken       {}: {why}\n", shown(key));
    }
    for left in &archive.leftovers {
        let (name, size) = (shown(&left.name), human(left.bytes));
        text += &format!("  unfinished   {name}: {size} left by a run that did not end\n");
    }
    for key in &archive.strays {
        text += &format!("  stray        {} belongs to no backup\n", shown(key));
    }
    text
}

/// `  newest       20261121T020000Z  incremental     1.2 GiB in 3  DEEP_ARCHIVE, frozen  NAME
/// (on 20261114T020000Z, 4.0 GiB in all)`
fn row(archive: &Backups, backup: &Backup) -> String {
    let (state, kind) = (state(archive, backup), backup.kind);
    let (size, chunks) = (human(backup.bytes), backup.chunks.len());
    let [made, class, name] = [&backup.created_at, &backup.class, &backup.snapshot].map(shown);
    let thaw = thaw(backup).map(|word| format!(", {word}"));
    let thaw = thaw.unwrap_or_default();
    let remark = match (&backup.broken, &backup.parent) {
        (Some(why), _) => format!(" ({why})"),
        (None, Some(parent)) => builds(archive, backup, parent),
        (None, None) => String::new(),
    };
    format!(
        "  {state:<11}  {made}  {kind:<11}  {size:>10} in {chunks}  {class}{thaw}  {name}{remark}\n"
    )
}

fn builds(archive: &Backups, backup: &Backup, parent: &str) -> String {
    let made = archive.get(parent).map_or("-", |parent| &parent.created_at);
    let all = human(backup.chain_bytes.unwrap_or(0));
    format!(" (on {}, {all} in all)", shown(made))
}

/// Whether it can be restored, and whether it is what the pointer names.
pub(super) fn state(archive: &Backups, backup: &Backup) -> &'static str {
    match &backup.broken {
        Some(_) => "broken",
        None if archive.current.as_ref() == Some(&backup.key) => "newest",
        None => "restorable",
    }
}

/// Whether it must be thawed, in a word; none for what can be read as always.
pub(super) fn thaw(backup: &Backup) -> Option<&'static str> {
    match backup.state? {
        ArchiveState::Readable => None,
        ArchiveState::Frozen => Some("frozen"),
        ArchiveState::Thawing => Some("thawing"),
        ArchiveState::Thawed(_) => Some("thawed"),
    }
}
