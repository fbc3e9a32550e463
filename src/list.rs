//! `btrfslist`'s view of a filesystem: read once, shown as a table, as a tree, or as JSON.
//! Makes text; who prints it is somebody else.

mod json;

use crate::btrfs::{Coverage, Filesystem, Info, Mount, Subvolume, Subvolumes, UsageByExtents};
use crate::error::{Doing, Error, Kind, Result};
use crate::report::{
    Bytes, Cell, Column, Formatted, Maybe, Moment, Screen, bar, data, descent, fitted,
    must_be_columns, table, titles,
};
use crate::snapshot::{State, Uuid, path_text, shown};
use crate::store::records;
use crate::sys;
use crate::text::{counted_with, human, human_or_dash};
use serde::Serialize;
use std::collections::HashMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Everything that is shown about a filesystem.
#[derive(Debug)]
pub struct View {
    info: Info,
    subvolumes: Subvolumes,
    mounts: Vec<Mount>,
    /// What is known about the soundness of those below the directory, by their numbers.
    states: HashMap<u64, State>,
    /// Where the sizes of subvolumes are from; `None` if there are none.
    sizes: Option<&'static str>,
    /// Of which none could be computed, and why.
    unread: Vec<Error>,
}

impl View {
    /// Reads about the filesystem that a directory is on; with `sizes`, also the extents of all
    /// its files.
    ///
    /// # Errors
    /// If the directory is not on btrfs, or `sizes` is asked for by somebody who is not root.
    pub fn read(dir: &Path, sizes: bool) -> Result<View> {
        let filesystem = Filesystem::open(dir)?;
        let mut subvolumes = filesystem.subvolumes()?;
        let mounts = filesystem.mounts().unwrap_or_else(|error| {
            subvolumes.notes.push(error.to_string());
            Vec::new()
        });
        let mut unread = Vec::new();
        if sizes {
            let found = usage(&filesystem, &subvolumes)?;
            fill(&mut subvolumes, &found);
            unread = found.unread;
        }
        let dir = dir
            .canonicalize()
            .doing(|| format!("cannot open {}", shown(dir)))?;
        let states = records::states(&dir, &subvolumes.all);
        subvolumes.notes.extend(states.notes);
        let known = subvolumes.all.iter().any(|s| s.referenced.is_some());
        Ok(View {
            info: filesystem.info()?,
            subvolumes,
            mounts,
            states: states.of,
            sizes: match (sizes, known) {
                (true, _) => Some("extents"),
                (false, true) => Some("quotas"),
                (false, false) => None,
            },
            unread,
        })
    }

    /// What is missing, and other remarks for a person.
    pub fn notes(&self) -> &[String] {
        &self.subvolumes.notes
    }

    /// Whether all was found out that was asked for.
    ///
    /// # Errors
    /// [`Kind::Partly`] if not: the first that could not be read.
    pub fn must_be_whole(&self) -> Result<()> {
        let kind = Kind::Partly;
        let lost = |said: String| Err(Error::new(kind, "not all subvolumes are shown", said));
        if let Some(error) = self.unread.first().cloned() {
            return Err(Error { kind, ..error });
        }
        match self.subvolumes.unread.first() {
            Some(first) => lost(counted_with(self.subvolumes.unread.len(), &first.why)),
            None if self.subvolumes.coverage == Coverage::Part => {
                lost("the notes say what is missing".to_owned())
            }
            None => Ok(()),
        }
    }

    /// The table, in the order of numbers, or nested by parentage: everything, or what fits a screen or was
    /// chosen.
    pub fn text(&self, look: &TableLook) -> String {
        let all = self.subvolumes.all.iter();
        let order: Vec<(String, &Subvolume)> = match look.tree {
            true => nested(&self.subvolumes.all),
            false => all.map(|s| (String::new(), s)).collect(),
        };
        let entries = order.into_iter().map(|(lead, s)| self.entry(lead, s));
        let entries: Vec<ShownSubvolume> = entries.collect();
        let whole = look.columns.is_empty() && look.screen.width.is_none();
        self.header()
            + &match whole {
                true => table(COLUMNS, &entries),
                false => fitted(ON_SCREEN, &entries, &look.screen, &look.columns),
            }
    }

    fn entry(&self, lead: String, s: &Subvolume) -> ShownSubvolume {
        let here = |mount: &&Mount| mount.whole && mount.subvolume == Some(s.id);
        let mounts = self.mounts.iter().filter(here);
        let sizes = self.subvolumes.all.iter().filter_map(|s| s.referenced);
        ShownSubvolume {
            bar: shares(s, sizes.max().unwrap_or(0)),
            lead,
            mounts: mounts.map(|mount| mount.at.clone()).collect(),
            state: self.states.get(&s.id).copied(),
            s: s.clone(),
        }
    }

    fn header(&self) -> String {
        let info = &self.info;
        let (total, used, free) = (
            human(info.total),
            human_or_dash(info.used),
            human(info.free),
        );
        let mut text = format!("filesystem {}\n", info.fsid);
        if let Some(uuid) = info.metadata_uuid {
            text += &format!("metadata   {uuid}\n");
        }
        text += &format!("size       {total}, used {used}, free {free}\n");
        for device in &info.devices {
            let path = match device.path.as_os_str().is_empty() {
                true => "missing".to_owned(),
                false => shown(&device.path),
            };
            let (total, used) = (human(device.total), human(device.used));
            text += &format!(
                "device {:<3} {path}, {total}, allocated {used}\n",
                device.id
            );
        }
        text + match self.sizes {
            Some("extents") => "TOTAL and EXCLUSIVE count data on disk, and no metadata\n\n",
            Some(_) => "TOTAL and EXCLUSIVE are from quotas, data and metadata\n\n",
            None => "TOTAL and EXCLUSIVE are unknown; --sizes computes them without quotas\n\n",
        }
    }
}

/// A bar of what is exclusive and then of what is shared, where the longest is the largest size.
fn shares(s: &Subvolume, largest: u64) -> String {
    let (Some(referenced), Some(exclusive)) = (s.referenced, s.exclusive) else {
        return String::new();
    };
    let cells = |bytes: u64| bar(bytes, largest, BAR).chars().count();
    let (whole, own) = (cells(referenced), cells(exclusive));
    "█".repeat(own) + &"░".repeat(whole.saturating_sub(own))
}

/// How the table is to look.
#[derive(Clone, Debug, Default)]
pub struct TableLook {
    /// Where it is shown.
    pub screen: Screen,
    /// Snapshots stand below what they are snapshots of.
    pub tree: bool,
    /// Which columns, by their titles; all if none is named.
    pub columns: Vec<String>,
}

impl TableLook {
    /// # Errors
    /// If there is no such column.
    pub fn check(&self) -> Result<()> {
        must_be_columns(&titles(ON_SCREEN), &self.columns)
    }
}

/// Sizes by extents, or why not.
fn usage(filesystem: &Filesystem, subvolumes: &Subvolumes) -> Result<UsageByExtents> {
    if subvolumes.coverage == Coverage::Whole || sys::is_root() {
        return filesystem.usage_by_extents(&subvolumes.all);
    }
    let doing = format!("cannot compute sizes for {}", shown(filesystem.dir()));
    let why = "every subvolume must be read for that, and only root may; try it with sudo";
    Err(Error::failed(doing, why))
}

/// What one has for itself is known only if all others were read.
fn fill(subvolumes: &mut Subvolumes, found: &UsageByExtents) {
    let whole = found.unread.is_empty() && subvolumes.is_whole();
    for s in &mut subvolumes.all {
        let usage = found.usage.get(&s.id);
        s.referenced = usage.map(|usage| usage.referenced);
        s.exclusive = usage.filter(|_| whole).map(|usage| usage.exclusive);
    }
    if !found.unread.is_empty() {
        let note = "not all extents could be read, so that nobody knows what is exclusive";
        subvolumes.notes.push(note.to_owned());
    }
    // The first is what it all ends with.
    let others = found.unread.iter().skip(1);
    subvolumes.notes.extend(others.map(Error::to_string));
}

/// A subvolume as it is shown.
#[derive(Debug)]
struct ShownSubvolume {
    /// The lines of the tree that lead to it.
    lead: String,
    /// What it refers to, and of that what only it does.
    bar: String,
    s: Subvolume,
    state: Option<State>,
    /// Where it is mounted.
    mounts: Vec<PathBuf>,
}

type Field = Column<ShownSubvolume>;

const ID: Field = Field::json("id", |e| Box::new(e.s.id)).right();
const GENERATION: Field = Field::json("generation", |e| Box::new(e.s.generation)).right();
const TOTAL: Field = Field::json("total_bytes", |e| maybe(e.s.referenced.map(Bytes))).right();
const EXCLUSIVE: Field =
    Field::json("exclusive_bytes", |e| maybe(e.s.exclusive.map(Bytes))).right();
const READ_ONLY: Field = Field::json("read_only", |e| {
    let word = if e.s.read_only { "ro" } else { "rw" };
    Box::new(Formatted(word.to_owned(), e.s.read_only))
});
const STATE: Field = Field::json("state", |e| maybe(e.state))
    .alarm(|e| e.state.is_some_and(|state| state != State::Ok));
const UUID: Field = Field::json("uuid", |e| maybe(Uuid::set(e.s.uuid.0)));
const PARENT_UUID: Field = Field::json("parent_uuid", |e| maybe(e.s.parent_uuid));
const RECEIVED_UUID: Field = Field::json("received_uuid", |e| maybe(e.s.received_uuid));
const CREATED: Field = Field::json("created", |e| maybe(e.s.created.map(Moment)));

/// Everything, for scripts: in a pipe too.
const COLUMNS: &[Field] = &[
    ID.shown(1, "ID"),
    Field::json("parent_id", |e| {
        data((e.s.parent_id != 0).then_some(e.s.parent_id))
    }),
    Field::json("path", |e| {
        Box::new(Formatted(e.place(), path_text::encode(&e.s.path)))
    })
    .shown(13, "PATH"),
    Field::json("below", |e| {
        data(e.s.below.as_deref().map(path_text::encode))
    }),
    Field::json("level", |e| maybe(e.of_tree(e.s.level)))
        .shown(2, "LEVEL")
        .right(),
    Field::json("tree_bytes", |e| data(e.of_tree(e.s.tree_bytes))),
    GENERATION.shown(3, "GEN"),
    Field::json("ctransid", |e| data(e.s.ctransid)),
    Field::json("otransid", |e| data(e.s.otransid)),
    Field::json("stransid", |e| maybe(e.received(e.s.stransid)))
        .shown(12, "R-GEN")
        .right(),
    Field::json("rtransid", |e| data(e.received(e.s.rtransid))),
    CREATED,
    TOTAL.shown(4, "TOTAL"),
    EXCLUSIVE.shown(5, "EXCLUSIVE"),
    READ_ONLY.shown(6, "RO"),
    STATE.shown(7, "STATE"),
    UUID.shown(8, "UUID"),
    PARENT_UUID.shown(9, "PARENT-UUID"),
    Field::text(10, |e| maybe(e.s.parent_uuid.map(|_| e.s.otransid)))
        .shown(10, "P-GEN")
        .right(),
    RECEIVED_UUID.shown(11, "RECEIVED-UUID"),
    Field::json("mounts", |e| {
        data(
            e.mounts
                .iter()
                .map(|at| path_text::encode(at))
                .collect::<Vec<_>>(),
        )
    }),
];

/// What a screen has room for, and what can be chosen.
const ON_SCREEN: &[Field] = &[
    Field::text(1, |e| Box::new(e.name())).shown(1, "NAME"),
    Field::text(2, |e| Box::new(e.bar.clone()))
        .shown(2, "BAR")
        .spare(4)
        .bare(),
    TOTAL.shown(3, "TOTAL").spare(2).bare(),
    EXCLUSIVE.shown(4, "EXCLUSIVE").spare(2).bare(),
    READ_ONLY.shown(5, "RO"),
    STATE.shown(6, "STATE").spare(1).bare(),
    CREATED.shown(7, "CREATED").spare(3),
    ID.shown(8, "ID").spare(5),
    GENERATION.shown(9, "GEN").spare(6),
    Field::text(10, |e| maybe((!e.mounts.is_empty()).then(|| e.mounted())))
        .shown(10, "MOUNTED")
        .spare(7)
        .bare(),
    UUID.shown(11, "UUID").spare(8),
    PARENT_UUID.shown(12, "PARENT-UUID").spare(9).bare(),
    RECEIVED_UUID.shown(13, "RECEIVED-UUID").spare(10).bare(),
];

/// Characters of the longest bar.
const BAR: usize = 12;

fn maybe<'a>(value: Option<impl Display + Serialize + 'a>) -> Cell<'a> {
    Box::new(Maybe(value))
}

impl ShownSubvolume {
    /// What is known only if its tree is.
    fn of_tree<T>(&self, value: T) -> Option<T> {
        (self.s.tree_bytes != 0).then_some(value)
    }

    /// What has a meaning only if it was received.
    fn received<T>(&self, value: T) -> Option<T> {
        self.s.received_uuid.map(|_| value)
    }

    /// The path, below what leads to it.
    fn name(&self) -> String {
        let lead = &self.lead;
        match self.s.path.as_os_str().is_empty() {
            true => format!("{lead}/"),
            false => format!("{lead}{}", shown(&self.s.path)),
        }
    }

    fn mounted(&self) -> String {
        let mounts: Vec<String> = self.mounts.iter().map(shown).collect();
        mounts.join(", ")
    }

    /// The path, and where it is mounted.
    fn place(&self) -> String {
        match self.mounts.is_empty() {
            true => self.name(),
            false => format!("{} (mounted at {})", self.name(), self.mounted()),
        }
    }
}

/// Snapshots below what they are snapshots of, with the lines that lead to them.
fn nested(all: &[Subvolume]) -> Vec<(String, &Subvolume)> {
    let nodes: Vec<_> = all.iter().map(|s| (s.uuid, s.parent_uuid)).collect();
    let order = descent(&nodes).into_iter();
    order.map(|(lead, place)| (lead, &all[place])).collect()
}
