//! Whose a stored snapshot is: by the origin that was recorded of it, and where there is none, by
//! lineage. Never by name. Values in, values out: no file, no network, no clock.

use crate::snapshot::{
    Diff, Graph, Listing, Offer, Origin, Origins, Snapshot, State, Subject, Uuid,
};
use std::collections::{HashMap, HashSet};

/// A subvolume in the lineage of a filesystem.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineageNode {
    /// Its own UUID.
    pub uuid: Uuid,
    /// What it is a snapshot of.
    pub parent: Option<Uuid>,
    /// Nothing can be written to it.
    pub read_only: bool,
}

/// The subvolume that a run is about, under every name that it had.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Family {
    /// What origins may say: the subvolume itself, and those that it continues.
    pub subjects: HashSet<Subject>,
    /// Effective UUIDs of snapshots that are known to be of it.
    pub here: HashSet<Uuid>,
    /// UUIDs of what it descends from. What a record says of one of these, it continues.
    pub line: HashSet<Uuid>,
    /// The machine: what is of another is continued only when somebody says so.
    pub machine: String,
    /// UUIDs of subvolumes that are another's: see [`taken`].
    pub taken: HashSet<Uuid>,
}

/// What subvolumes descend from.
fn lineage(all: &[LineageNode]) -> Graph {
    all.iter().map(|node| (node.uuid, node.parent)).collect()
}

/// The UUIDs of what else can be written to, and of what that descends from.
pub fn taken(subvolume: Uuid, all: &[LineageNode]) -> HashSet<Uuid> {
    let others = all.iter().filter(|n| !n.read_only && n.uuid != subvolume);
    lineage(all).needed_by(others.map(|node| node.uuid))
}

/// The UUIDs that a subvolume continues, itself the first: what it is a writable snapshot of, after a
/// rollback or a restore, and so on. None that another one that can be written to is, or continues as
/// well: whose that is, nobody can tell.
pub fn continues(subvolume: Uuid, all: &[LineageNode]) -> Vec<Uuid> {
    let taken = taken(subvolume, all);
    let (own, _) = lineage(all).way_down(subvolume);
    let own = own.into_iter().enumerate();
    own.take_while(|(at, uuid)| *at == 0 || !taken.contains(uuid))
        .map(|(_, uuid)| uuid)
        .collect()
}

impl Family {
    /// All subvolumes that a source has snapshots of.
    pub fn all_at(source: &Listing) -> Family {
        let whole = source.snapshots.iter();
        let whole = whole.filter(|s| s.read_only && s.state != State::Partial);
        let origins = source.origins();
        Family {
            subjects: origins.values().map(Origin::subject).collect(),
            here: whole.map(Snapshot::id).collect(),
            ..Family::default()
        }
    }

    /// The effective UUIDs of what is of this subvolume in a listing. Where nothing is recorded, those
    /// are that are at the source too, and what builds on them or they on it, unless something in
    /// between is known to be another's.
    pub fn among(&self, listing: &Listing) -> HashSet<Uuid> {
        let whole = listing.snapshots.iter();
        let whole: Vec<&Snapshot> = whole.filter(|s| s.state != State::Partial).collect();
        let subjects = self.all_subjects(&whole);
        let known: HashMap<Uuid, bool> = whole
            .iter()
            .filter_map(|s| Some((s.uuid, self.knows(s, &subjects)?)))
            .collect();
        let groups = groups(&whole, &listing.offer);
        let mut sure: HashMap<usize, bool> = HashMap::new();
        for snapshot in &whole {
            if let (Some(ours), Some(group)) =
                (known.get(&snapshot.uuid), groups.get(&snapshot.uuid))
            {
                let all = sure.entry(*group).or_insert(true);
                *all &= ours;
            }
        }
        let ours = whole.iter().filter(|s| match known.get(&s.uuid) {
            Some(ours) => *ours,
            None => groups.get(&s.uuid).and_then(|group| sure.get(group)) == Some(&true),
        });
        ours.map(|s| s.id()).collect()
    }

    /// Also those that are recorded of what this subvolume descends from, or of its own snapshots.
    fn all_subjects(&self, there: &[&Snapshot]) -> HashSet<Subject> {
        let continued = self.continued(there).map(|(_, origin)| origin.subject());
        self.subjects.iter().cloned().chain(continued).collect()
    }

    /// What tells there of which subvolume this one is the next, and what it tells.
    fn continued<'a>(
        &self,
        there: &[&'a Snapshot],
    ) -> impl Iterator<Item = (&'a Snapshot, &'a Origin)> {
        let told = |id| self.line.contains(&id) || self.here.contains(&id);
        let told = there.iter().filter(move |s| told(s.id()));
        let told = told.filter_map(|s| Some((*s, s.origin.as_ref()?)));
        told.filter(|(_, origin)| self.may_continue(origin))
    }

    /// What is recorded there of snapshots that are of this subvolume: that they are of the one that it
    /// continues, as the newest that tells has it. So that is known still when nothing is left of the time
    /// before a rollback.
    pub fn recorded_as(&self, mut origins: Origins, there: &Listing) -> Origins {
        let whole = there.snapshots.iter();
        let whole: Vec<&Snapshot> = whole.filter(|s| s.state != State::Partial).collect();
        let newest = self
            .continued(&whole)
            .max_by_key(|(s, origin)| (origin.made, s.created));
        if let Some((_, past)) = newest {
            let own = origins.values_mut();
            for origin in own.filter(|origin| self.subjects.contains(&origin.subject())) {
                (origin.filesystem, origin.subvolume) = (past.filesystem, past.subvolume);
            }
        }
        origins
    }

    /// Whether what a record says of an ancestor is this subvolume's past.
    pub fn may_continue(&self, origin: &Origin) -> bool {
        origin.by.is_own()
            && origin.machine == self.machine
            && !self.taken.contains(&origin.subvolume)
    }

    /// Whether a snapshot is of this subvolume, as far as it tells by itself.
    fn knows(&self, snapshot: &Snapshot, subjects: &HashSet<Subject>) -> Option<bool> {
        let id = snapshot.id();
        let of = |uuid| subjects.iter().any(|subject| subject.subvolume == uuid);
        let recorded = snapshot.origin.as_ref();
        match recorded.and_then(|origin| origin.is_of(subjects)) {
            Some(ours) => Some(ours),
            None if self.here.contains(&id) || self.line.contains(&id) => Some(true),
            // Archives name the subvolume there since before they name the machine.
            None => snapshot.parent_uuid.is_some_and(of).then_some(true),
        }
    }
}

/// The number of the group of each snapshot: those are one that are tied by descent.
fn groups(all: &[&Snapshot], offer: &Offer) -> HashMap<Uuid, usize> {
    let known: HashSet<Uuid> = all.iter().map(|s| s.uuid).collect();
    let made_from = all.iter().map(|s| (s.uuid, s.parent_uuid));
    let stored = offer.stored().unwrap_or_default().iter().map(Diff::pair);
    let ties = made_from.chain(stored.filter(|(to, _)| known.contains(to)));
    let ties = ties.map(|(to, from)| (to, from.filter(|from| known.contains(from))));
    ties.collect::<Graph>().families()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> Uuid {
        Uuid([n; 16])
    }

    fn node(n: u8, parent: Option<u8>, read_only: bool) -> LineageNode {
        LineageNode {
            uuid: id(n),
            parent: parent.map(id),
            read_only,
        }
    }

    fn origin(machine: &str, subvolume: u8) -> Origin {
        Origin {
            machine: machine.to_owned(),
            filesystem: id(200),
            subvolume: id(subvolume),
            ..Origin::default()
        }
    }

    /// A copy at a destination: its number there is 100 more.
    fn copy(n: u8, parent: Option<u8>, origin: Option<Origin>) -> Snapshot {
        Snapshot {
            path: n.to_string().into(),
            uuid: id(n + 100),
            received_uuid: Some(id(n)),
            parent_uuid: parent.map(|n| id(n + 100)),
            read_only: true,
            origin,
            ..Snapshot::default()
        }
    }

    fn ours(subjects: &[(&str, u8)], here: &[u8], there: &[Snapshot]) -> Vec<u8> {
        let subjects = subjects.iter().map(|(m, n)| origin(m, *n).subject());
        let family = Family {
            subjects: subjects.collect(),
            here: here.iter().map(|n| id(*n)).collect(),
            machine: "m".to_owned(),
            ..Family::default()
        };
        let listing = Listing {
            snapshots: there.to_vec(),
            ..Listing::default()
        };
        let found = family.among(&listing);
        let mut found: Vec<u8> = found.iter().map(|id| id.0[0]).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn a_rollback_continues_what_it_came_from() {
        // 1 is the subvolume, 2 its snapshot, 3 a writable snapshot of that, in place of 1.
        let all = [node(2, Some(1), true), node(3, Some(2), false)];
        assert_eq!(continues(id(3), &all), [id(3), id(2), id(1)]);
        // As long as it is there, it is another.
        let both = [&all[..], &[node(1, None, false)]].concat();
        assert_eq!(continues(id(3), &both), [id(3), id(2)]);
        assert_eq!(continues(id(1), &both), [id(1)]);
        // Of two that came from the same, neither has it.
        let twins = [&all[..], &[node(4, Some(2), false)]].concat();
        assert_eq!(continues(id(3), &twins), [id(3)]);
        let circle = [node(3, Some(2), false), node(2, Some(3), true)];
        assert_eq!(continues(id(3), &circle), [id(3), id(2)]);
    }

    #[test]
    fn what_is_recorded_decides() {
        let there = [
            copy(1, None, Some(origin("m", 50))),
            copy(2, Some(1), Some(origin("m", 60))),
            copy(3, None, Some(origin("other", 50))),
        ];
        assert_eq!(ours(&[("m", 50)], &[], &there), [1]);
        // Not even the same UUID at the source outweighs what another machine recorded.
        assert_eq!(ours(&[("m", 50)], &[3], &there), [1]);
        assert_eq!(ours(&[("m", 50), ("m", 60)], &[], &there), [1, 2]);
    }

    #[test]
    fn what_is_recorded_of_an_ancestor_is_continued() {
        let there = [
            copy(1, None, Some(origin("m", 50))),
            copy(2, None, Some(origin("m", 50))),
            copy(3, None, Some(origin("m", 60))),
        ];
        let mut family = Family {
            subjects: HashSet::from([origin("m", 60).subject()]),
            line: HashSet::from([id(1)]),
            machine: "m".to_owned(),
            ..Family::default()
        };
        let listing = Listing {
            snapshots: there.to_vec(),
            ..Listing::default()
        };
        assert_eq!(family.among(&listing).len(), 3);
        // Not while the other one is there, nor on another machine.
        family.taken.insert(id(50));
        assert_eq!(family.among(&listing), HashSet::from([id(3)]));
        family.taken.clear();
        family.machine = "other".to_owned();
        assert_eq!(family.among(&listing), HashSet::from([id(3)]));
    }

    #[test]
    fn what_is_recorded_of_an_own_snapshot_is_continued() {
        let there = [
            copy(1, None, Some(origin("m", 50))),
            copy(2, None, Some(origin("m", 50))),
        ];
        let listing = Listing {
            snapshots: there.to_vec(),
            ..Listing::default()
        };
        // 2 was made of 60, after it went back to something that is gone.
        let mut family = Family {
            subjects: HashSet::from([origin("m", 60).subject()]),
            here: HashSet::from([id(2)]),
            machine: "m".to_owned(),
            ..Family::default()
        };
        assert_eq!(family.among(&listing).len(), 2);
        // What is made of it now is recorded so as well, and what is of others is not touched.
        let mut made = Origins::new();
        made.insert(id(3), origin("m", 60));
        made.insert(id(4), origin("m", 70));
        let recorded = family.recorded_as(made.clone(), &listing);
        let of = |n: u8| recorded[&id(n)].subvolume;
        assert_eq!((of(3), of(4)), (id(50), id(70)));
        // Not while the other one is there.
        family.taken.insert(id(50));
        assert!(family.among(&listing).is_empty());
        assert_eq!(family.recorded_as(made.clone(), &listing), made);
    }

    #[test]
    fn a_source_has_the_subvolumes_that_its_snapshots_are_of() {
        let source = Listing {
            snapshots: vec![copy(1, None, Some(origin("m", 50))), copy(4, None, None)],
            ..Listing::default()
        };
        let there = Listing {
            snapshots: vec![
                copy(2, None, Some(origin("m", 50))),
                copy(3, None, Some(origin("m", 60))),
                copy(4, None, None),
                copy(5, Some(4), None),
                copy(6, None, None),
            ],
            ..Listing::default()
        };
        let ours = Family::all_at(&source).among(&there);
        assert_eq!(ours, [2, 4, 5].map(id).into());
    }

    #[test]
    fn lineage_decides_where_nothing_is_recorded() {
        let plain = |n, parent| copy(n, parent, None);
        let there = [
            plain(1, None),
            plain(2, Some(1)),
            plain(3, Some(2)),
            plain(4, None),
        ];
        assert_eq!(ours(&[("m", 50)], &[], &there), [0; 0]);
        assert_eq!(ours(&[("m", 50)], &[2], &there), [1, 2, 3]);
        assert_eq!(ours(&[("m", 50)], &[4], &there), [4]);
        let known = [copy(3, Some(2), Some(origin("m", 50)))];
        let there = [&there[..2], &known].concat();
        assert_eq!(ours(&[("m", 50)], &[], &there), [1, 2, 3]);
        // Something of another subvolume among them: then only what is sure.
        let mixed = [&there[..], &[copy(5, Some(1), Some(origin("m", 60)))]].concat();
        assert_eq!(ours(&[("m", 50)], &[], &mixed), [3]);
        assert_eq!(ours(&[("m", 60)], &[], &mixed), [5]);
    }
}
