//! `btrfslist`'s view of a filesystem: read once, shown as a table, as a tree, or as JSON.
//! Makes text; who prints it is somebody else.

mod json;

use crate::btrfs::{Coverage, Filesystem, Info, Mount, Subvolume, Subvolumes, Usage};
use crate::error::{Doing, Error, Result};
use crate::report::{As, Bytes, Cell, Column, Maybe, data, table};
use crate::snapshot::{Graph, State, Uuid, path_text, shown};
use crate::store::records;
use crate::text::{human, human_or_dash};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
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
        if sizes {
            let usage = usage(&filesystem, &subvolumes)?;
            fill(&mut subvolumes.all, &usage);
        }
        let dir = dir
            .canonicalize()
            .doing(|| format!("cannot open {}", shown(dir)))?;
        let states = records::states(&dir, &subvolumes.all)?;
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
        })
    }

    /// What is missing, and other remarks for a person.
    pub fn notes(&self) -> &[String] {
        &self.subvolumes.notes
    }

    /// The table, in the order of numbers, or nested by parentage.
    pub fn text(&self, tree: bool) -> String {
        let all = self.subvolumes.all.iter();
        let order: Vec<(String, &Subvolume)> = match tree {
            true => nested(&self.subvolumes.all),
            false => all.map(|s| (String::new(), s)).collect(),
        };
        let entries = order.into_iter().map(|(lead, s)| self.entry(lead, s));
        let entries: Vec<ShownSubvolume> = entries.collect();
        self.header() + &table(COLUMNS, &entries)
    }

    fn entry(&self, lead: String, s: &Subvolume) -> ShownSubvolume {
        let here = |mount: &&Mount| mount.whole && mount.subvolume == Some(s.id);
        let mounts = self.mounts.iter().filter(here);
        ShownSubvolume {
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

/// Sizes by extents, or why not.
fn usage(filesystem: &Filesystem, subvolumes: &Subvolumes) -> Result<HashMap<u64, Usage>> {
    if subvolumes.coverage == Coverage::Whole {
        return filesystem.usage_by_extents(&subvolumes.all);
    }
    let doing = format!("cannot compute sizes for {}", shown(filesystem.dir()));
    let why = "every subvolume must be read for that, and only root may; try it with sudo";
    Err(Error::failed(doing, why))
}

fn fill(all: &mut [Subvolume], usage: &HashMap<u64, Usage>) {
    for s in all {
        let usage = usage.get(&s.id);
        s.referenced = usage.map(|usage| usage.referenced);
        s.exclusive = usage.map(|usage| usage.exclusive);
    }
}

/// A subvolume as it is shown.
#[derive(Debug)]
struct ShownSubvolume {
    /// The lines of the tree that lead to it.
    lead: String,
    s: Subvolume,
    state: Option<State>,
    /// Where it is mounted.
    mounts: Vec<PathBuf>,
}

type Field = Column<ShownSubvolume>;

const COLUMNS: &[Field] = &[
    Field::json("id", |e| Box::new(e.s.id))
        .shown(1, "ID")
        .right(),
    Field::json("parent_id", |e| {
        data((e.s.parent_id != 0).then_some(e.s.parent_id))
    }),
    Field::json("path", |e| {
        Box::new(As(e.place(), path_text::encode(&e.s.path)))
    })
    .shown(13, "PATH"),
    Field::json("below", |e| {
        data(e.s.below.as_deref().map(path_text::encode))
    }),
    Field::json("level", |e| maybe(e.of_tree(e.s.level)))
        .shown(2, "LEVEL")
        .right(),
    Field::json("tree_bytes", |e| data(e.of_tree(e.s.tree_bytes))),
    Field::json("generation", |e| Box::new(e.s.generation))
        .shown(3, "GEN")
        .right(),
    Field::json("ctransid", |e| data(e.s.ctransid)),
    Field::json("otransid", |e| data(e.s.otransid)),
    Field::json("stransid", |e| maybe(e.received(e.s.stransid)))
        .shown(12, "R-GEN")
        .right(),
    Field::json("rtransid", |e| data(e.received(e.s.rtransid))),
    Field::json("created", |e| data(e.s.created)),
    Field::json("total_bytes", |e| maybe(e.s.referenced.map(Bytes)))
        .shown(4, "TOTAL")
        .right(),
    Field::json("exclusive_bytes", |e| maybe(e.s.exclusive.map(Bytes)))
        .shown(5, "EXCLUSIVE")
        .right(),
    Field::json("read_only", |e| {
        let word = if e.s.read_only { "ro" } else { "rw" };
        Box::new(As(word.to_owned(), e.s.read_only))
    })
    .shown(6, "RO"),
    Field::json("state", |e| maybe(e.state)).shown(7, "STATE"),
    Field::json("uuid", |e| maybe(Uuid::set(e.s.uuid.0))).shown(8, "UUID"),
    Field::json("parent_uuid", |e| maybe(e.s.parent_uuid)).shown(9, "PARENT-UUID"),
    Field::text(10, |e| maybe(e.s.parent_uuid.map(|_| e.s.otransid)))
        .shown(10, "P-GEN")
        .right(),
    Field::json("received_uuid", |e| maybe(e.s.received_uuid)).shown(11, "RECEIVED-UUID"),
    Field::json("mounts", |e| {
        data(
            e.mounts
                .iter()
                .map(|at| path_text::encode(at))
                .collect::<Vec<_>>(),
        )
    }),
];

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

    /// The path, and where it is mounted.
    fn place(&self) -> String {
        let lead = &self.lead;
        let path = match self.s.path.as_os_str().is_empty() {
            true => "/".to_owned(),
            false => shown(&self.s.path),
        };
        let mounts: Vec<String> = self.mounts.iter().map(shown).collect();
        match mounts.is_empty() {
            true => format!("{lead}{path}"),
            false => format!("{lead}{path} (mounted at {})", mounts.join(", ")),
        }
    }
}

/// Snapshots below what they are snapshots of, with the lines that lead to them.
fn nested(all: &[Subvolume]) -> Vec<(String, &Subvolume)> {
    let by_uuid: HashMap<Uuid, &Subvolume> = all.iter().map(|s| (s.uuid, s)).collect();
    let parent = |s: &Subvolume| s.parent_uuid.filter(|uuid| by_uuid.contains_key(uuid));
    let graph: Graph = all.iter().map(|s| (s.uuid, parent(s))).collect();
    let top = |s| (String::new(), String::new(), s);
    // What is still to be shown, the next one last: its lead, and the lead of what is below it. Each has
    // one parent at most, so that no way from the top leads into a circle.
    let tops = all.iter().rev().filter(|s| parent(s).is_none());
    let mut ahead: Vec<(String, String, &Subvolume)> = tops.map(top).collect();
    let (mut order, mut seen) = (Vec::with_capacity(all.len()), HashSet::new());
    while let Some((lead, below, s)) = ahead.pop() {
        seen.insert(s.uuid);
        order.push((lead, s));
        let children = graph.children(s.uuid).iter().rev();
        for (i, child) in children.filter_map(|uuid| by_uuid.get(uuid)).enumerate() {
            let (corner, line) = match i {
                0 => ("└─ ", "   "),
                _ => ("├─ ", "│  "),
            };
            ahead.push((format!("{below}{corner}"), format!("{below}{line}"), child));
        }
    }
    // Nothing is lost in a circle: what was not reached stands at its end.
    let mut circle: Vec<&Subvolume> = all.iter().filter(|s| !seen.contains(&s.uuid)).collect();
    circle.sort_by_key(|s| s.id);
    order.extend(circle.into_iter().map(|s| (String::new(), s)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subvolume(id: u64, parent: Option<u8>) -> Subvolume {
        Subvolume {
            id,
            uuid: Uuid([id as u8; 16]),
            parent_uuid: parent.map(|n| Uuid([n; 16])),
            ..Subvolume::default()
        }
    }

    fn order(all: &[Subvolume]) -> Vec<String> {
        let order = nested(all).into_iter();
        order.map(|(lead, s)| format!("{lead}{}", s.id)).collect()
    }

    #[test]
    fn snapshots_nest_below_their_origin() {
        let all = [
            subvolume(1, None),
            subvolume(2, Some(1)),
            subvolume(3, Some(2)),
            subvolume(4, Some(1)),
            subvolume(5, Some(99)),
        ];
        assert_eq!(order(&all), ["1", "├─ 2", "│  └─ 3", "└─ 4", "5"]);
    }

    #[test]
    fn a_circle_loses_nothing() {
        let all = [
            subvolume(1, Some(2)),
            subvolume(2, Some(1)),
            subvolume(3, None),
        ];
        assert_eq!(order(&all), ["3", "1", "2"]);
    }
}
