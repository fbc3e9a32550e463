//! `btrfslist`'s view of a filesystem: read once, shown as a table, as a tree, or as JSON.
//! Makes text; who prints it is somebody else.

mod json;

use crate::btrfs::{Coverage, Filesystem, Info, Mount, Subvolume, Subvolumes, Usage};
use crate::error::{Doing, Error, Result};
use crate::snapshot::{State, Uuid, shown};
use crate::store::records;
use crate::text::{human, human_or_dash};
use std::collections::{HashMap, HashSet};
use std::path::Path;

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
        let mut rows = vec![COLUMNS.iter().map(|c| c.title.to_owned()).collect()];
        let row = |s| {
            COLUMNS
                .iter()
                .map(|column| (column.cell)(self, s))
                .collect()
        };
        rows.extend(order.iter().map(|(_, s)| row(*s)));
        let paths = order
            .iter()
            .map(|(lead, s)| format!("{lead}{}", self.place(s)));
        let paths = std::iter::once("PATH".to_owned()).chain(paths);
        self.header() + &aligned(&rows, paths)
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

    /// The path, and where it is mounted.
    fn place(&self, s: &Subvolume) -> String {
        let path = match s.path.as_os_str().is_empty() {
            true => "/".to_owned(),
            false => shown(&s.path),
        };
        let mounts: Vec<String> = self.mounted(s).map(|mount| shown(&mount.at)).collect();
        match mounts.is_empty() {
            true => path,
            false => format!("{path} (mounted at {})", mounts.join(", ")),
        }
    }

    fn mounted(&self, s: &Subvolume) -> impl Iterator<Item = &Mount> {
        let id = s.id;
        let here = move |mount: &&Mount| mount.whole && mount.subvolume == Some(id);
        self.mounts.iter().filter(here)
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

/// A column of the table, before the path.
struct Column {
    title: &'static str,
    to_the_right: bool,
    cell: fn(&View, &Subvolume) -> String,
}

const fn left(title: &'static str, cell: fn(&View, &Subvolume) -> String) -> Column {
    Column {
        title,
        to_the_right: false,
        cell,
    }
}

const fn right(title: &'static str, cell: fn(&View, &Subvolume) -> String) -> Column {
    Column {
        title,
        to_the_right: true,
        cell,
    }
}

const COLUMNS: &[Column] = &[
    right("ID", |_, s| s.id.to_string()),
    right("LEVEL", |_, s| {
        or_dash((s.tree_bytes != 0).then_some(s.level))
    }),
    right("GEN", |_, s| s.generation.to_string()),
    right("TOTAL", |_, s| human_or_dash(s.referenced)),
    right("EXCLUSIVE", |_, s| human_or_dash(s.exclusive)),
    left("RO", |_, s| {
        if s.read_only { "ro" } else { "rw" }.to_owned()
    }),
    left("STATE", |view, s| or_dash(view.states.get(&s.id))),
    left("UUID", |_, s| or_dash(Uuid::set(s.uuid.0))),
    left("PARENT-UUID", |_, s| or_dash(s.parent_uuid)),
    right("P-GEN", |_, s| or_dash(s.parent_uuid.map(|_| s.otransid))),
    left("RECEIVED-UUID", |_, s| or_dash(s.received_uuid)),
    right("R-GEN", |_, s| or_dash(s.received_uuid.map(|_| s.stransid))),
];

/// Lines with aligned cells, and after them what is of any width.
fn aligned(rows: &[Vec<String>], ends: impl Iterator<Item = String>) -> String {
    let width = |i: usize| rows.iter().map(|row| row[i].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let mut text = String::new();
    for (row, end) in rows.iter().zip(ends) {
        for ((cell, width), column) in row.iter().zip(&widths).zip(COLUMNS) {
            let blank = width - cell.len();
            let (before, after) = if column.to_the_right {
                (blank, 0)
            } else {
                (0, blank)
            };
            text.extend(std::iter::repeat_n(' ', before));
            text += cell;
            text.extend(std::iter::repeat_n(' ', after + 2));
        }
        text += &end;
        text.push('\n');
    }
    text
}

/// Snapshots below what they are snapshots of, with the lines that lead to them.
fn nested(all: &[Subvolume]) -> Vec<(String, &Subvolume)> {
    let here: HashSet<Uuid> = all.iter().map(|s| s.uuid).collect();
    let mut children: HashMap<Option<Uuid>, Vec<&Subvolume>> = HashMap::new();
    for s in all {
        let parent = s.parent_uuid.filter(|uuid| here.contains(uuid));
        children.entry(parent).or_default().push(s);
    }
    let mut order = Vec::with_capacity(all.len());
    // What is still to be shown, the next one last: its lead, and the lead of what is below it.
    let mut ahead: Vec<(String, String, &Subvolume)> = Vec::new();
    let tops = children.remove(&None).unwrap_or_default();
    ahead.extend(
        tops.iter()
            .rev()
            .map(|s| (String::new(), String::new(), *s)),
    );
    while let Some((lead, below, s)) = ahead.pop() {
        order.push((lead, s));
        // Taken out, so that even parents in a circle come to an end.
        let below_it = children.remove(&Some(s.uuid)).unwrap_or_default();
        for (i, child) in below_it.iter().rev().enumerate() {
            let (corner, line) = if i == 0 {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            ahead.push((format!("{below}{corner}"), format!("{below}{line}"), child));
        }
    }
    // Nothing is lost in a circle: what was not reached stands at its end.
    let mut circle: Vec<&Subvolume> = children.into_values().flatten().collect();
    circle.sort_by_key(|s| s.id);
    order.extend(circle.into_iter().map(|s| (String::new(), s)));
    order
}

/// `-` for what is not known or not there.
fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
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
