//! Which snapshots are relatives, and which of these are next to each other in time. Thinks only.

use crate::snapshot::{Diff, Graph, Sizes, Snapshot, State, Uuid};
use std::collections::HashMap;
use std::path::Path;

/// What tells the order in which the snapshots of a family were made.
#[derive(Clone, Copy)]
enum Clock {
    /// Generations of one filesystem: exact.
    Generation,
    /// Of several filesystems: only the recorded times can be compared.
    Time,
}

impl Clock {
    /// Generations are of one filesystem if all snapshots were made here, or all came from elsewhere.
    fn of(family: &[&Snapshot]) -> Clock {
        let all = |wanted: &dyn Fn(&Snapshot) -> bool| {
            let mut sound = family.iter().filter(|s| s.state != State::Partial);
            sound.all(|s| wanted(s))
        };
        let one = all(&|s| s.received_uuid.is_none()) || all(&|s| s.received_uuid.is_some());
        let counted = all(&|s| s.generation() != 0);
        match (one && counted) || !all(&|s| s.created.is_some()) {
            true => Clock::Generation,
            false => Clock::Time,
        }
    }

    fn age(self, snapshot: &Snapshot) -> (i128, u64, &Path) {
        let (time, generation) = (snapshot.created.unwrap_or(0), snapshot.generation());
        match self {
            Clock::Generation => (generation.into(), 0, &snapshot.path),
            Clock::Time => (time.into(), generation, &snapshot.path),
        }
    }
}

/// Snapshots by the subvolume that they descend from, each family by age. Only relatives share
/// extents, so only between them is a diff smaller than the whole.
#[derive(Default)]
pub(super) struct Families<'a> {
    families: Vec<Vec<&'a Snapshot>>,
    /// By effective UUID: which family, and where in it.
    place: HashMap<Uuid, FamilyPlace>,
    /// Where a snapshot is by its own UUID, and where those are that were made from it.
    own: HashMap<Uuid, Vec<FamilyPlace>>,
    made_from: HashMap<Uuid, Vec<FamilyPlace>>,
    /// The densest whole stream that was measured of each family: its bytes, and those of its tree.
    densest: Vec<Option<(u64, u64)>>,
}

/// The number of a family, and a place in it.
type FamilyPlace = (usize, usize);

/// Places in each family of what something holds for, in order.
pub(super) struct FamilyPlaces(Vec<Vec<usize>>);

impl<'a> Families<'a> {
    pub(super) fn new(snapshots: &'a [Snapshot], sizes: &Sizes) -> Families<'a> {
        // What was copied or received is known by its origin where what it was made from is gone.
        let of = |s: &Snapshot| {
            let origin = s.origin.as_ref().filter(|_| s.received_uuid.is_some())?;
            Uuid::set(origin.subvolume.0)
        };
        let edges = |s: &'a Snapshot| [(s.uuid, s.parent_uuid), (s.uuid, of(s))];
        let lineage: Graph = snapshots.iter().flat_map(edges).collect();
        let numbers = lineage.families();
        let mut all = Families::default();
        for snapshot in snapshots {
            let number = numbers[&snapshot.uuid];
            all.families
                .resize(all.families.len().max(number + 1), Vec::new());
            all.families[number].push(snapshot);
        }
        for (number, family) in all.families.iter_mut().enumerate() {
            let clock = Clock::of(family);
            family.sort_by_key(|s| clock.age(s));
            for (at, snapshot) in family.iter().enumerate() {
                let place = (number, at);
                all.place.insert(snapshot.id(), place);
                all.own.entry(snapshot.uuid).or_default().push(place);
                if let Some(parent) = snapshot.parent_uuid {
                    all.made_from.entry(parent).or_default().push(place);
                }
            }
        }
        let densest = |family: &Vec<&Snapshot>| densest(family, sizes);
        all.densest = all.families.iter().map(densest).collect();
        all
    }

    /// Where those are for which `wanted` holds.
    pub(super) fn places(&self, wanted: impl Fn(&Snapshot) -> bool) -> FamilyPlaces {
        let places = |family: &Vec<&Snapshot>| {
            let all = family.iter().enumerate();
            all.filter(|(_, s)| wanted(s)).map(|(at, _)| at).collect()
        };
        FamilyPlaces(self.families.iter().map(places).collect())
    }

    /// The relatives next to the target in age, one older and one newer, of those in these places.
    pub(super) fn nearest(&self, target: &Snapshot, among: &FamilyPlaces) -> Vec<Uuid> {
        let place = self.place.get(&target.id());
        place.map_or_else(Vec::new, |&place| self.nearest_at(place, &among.0[place.0]))
    }

    /// Likewise of those that the target was made from, or that were made from it.
    pub(super) fn nearest_kin(
        &self,
        target: &Snapshot,
        wanted: impl Fn(&Snapshot) -> bool,
    ) -> Vec<Uuid> {
        let Some(&place) = self.place.get(&target.id()) else {
            return Vec::new();
        };
        let above = target.parent_uuid.and_then(|parent| self.own.get(&parent));
        let below = self.made_from.get(&target.uuid);
        let kin = above.into_iter().chain(below).flatten();
        let kin =
            kin.filter(|(family, at)| *family == place.0 && wanted(self.families[*family][*at]));
        let mut kin: Vec<usize> = kin.map(|(_, at)| *at).collect();
        kin.sort_unstable();
        self.nearest_at(place, &kin)
    }

    fn nearest_at(&self, (family, at): FamilyPlace, among: &[usize]) -> Vec<Uuid> {
        let family = &self.families[family];
        let (older, newer) = among.split_at(among.partition_point(|other| *other < at));
        let other = |other: &&usize| family[**other].id() != family[at].id();
        let (older, newer) = (older.iter().rev().find(other), newer.iter().find(other));
        let both = older.into_iter().chain(newer);
        both.map(|other| family[*other].id()).collect()
    }

    /// How long a whole stream is if it is as dense as the densest that was measured of the same family;
    /// `None` in small families, whose own are soon measured.
    pub(super) fn as_dense(&self, target: &Snapshot) -> Option<u64> {
        const LARGE: usize = 16;
        let (family, _) = *self.place.get(&target.id())?;
        let (size, tree) = self.densest[family].filter(|_| self.families[family].len() > LARGE)?;
        Some((u128::from(size) * u128::from(target.tree_bytes) / u128::from(tree)) as u64)
    }

    /// The newest of each family for which `wanted` holds, the newest of all first.
    pub(super) fn newest(&self, wanted: impl Fn(&Snapshot) -> bool) -> Vec<&'a Snapshot> {
        let newest = |family: &Vec<&'a Snapshot>| family.iter().rev().copied().find(|s| wanted(s));
        let mut all: Vec<&Snapshot> = self.families.iter().filter_map(newest).collect();
        all.sort_by_key(|s| std::cmp::Reverse((s.created, s.generation())));
        all
    }

    pub(super) fn are_kin(&self, one: &Snapshot, other: &Snapshot) -> bool {
        let family = |s: &Snapshot| self.place.get(&s.id()).map(|(family, _)| *family);
        family(one) == family(other)
    }

    /// The nearest older relative: what people expect a snapshot to be sent from.
    pub(super) fn natural_parent(&self, target: &Snapshot) -> Option<&'a Snapshot> {
        let &(family, at) = self.place.get(&target.id())?;
        let mut older = self.families[family][..at].iter().rev().copied();
        older.find(|s| s.id() != target.id() && s.state != State::Partial)
    }

    /// Whether a diff is from a snapshot of another family.
    pub(super) fn is_from_stranger(&self, diff: &Diff) -> bool {
        let place = |id| self.place.get(&id).map(|(family, _)| *family);
        let from = diff.from.and_then(place);
        from.is_some_and(|from| place(diff.to).is_some_and(|to| to != from))
    }

    /// Whether a diff goes back in time; false where nobody knows.
    pub(super) fn is_against_time(&self, diff: &Diff) -> bool {
        let place = |id| self.place.get(&id);
        match (diff.from.and_then(place), place(diff.to)) {
            (Some((family, from)), Some((other, to))) => family == other && from > to,
            _ => false,
        }
    }
}

fn densest(family: &[&Snapshot], sizes: &Sizes) -> Option<(u64, u64)> {
    let known = |s: &&Snapshot| {
        let size = sizes.get(&(s.id(), None, Vec::new()))?.size.bytes()?;
        Some((size, s.tree_bytes.max(1)))
    };
    let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
    let known = family.iter().filter_map(known);
    known.max_by(|a, b| product(a.0, b.1).cmp(&product(b.0, a.1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Size;

    fn uuid(n: u64) -> Uuid {
        Uuid((u128::from(n) + 1).to_be_bytes())
    }

    fn random(seed: &mut u64, below: u64) -> u64 {
        *seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (*seed >> 33) % below
    }

    /// Some are made from live subvolumes, some from each other, and some are twins.
    fn listing(seed: &mut u64) -> Vec<Snapshot> {
        let count = 1 + random(seed, 12);
        let mut one = |n| Snapshot {
            path: format!("s{n:02}").into(),
            uuid: uuid(n),
            received_uuid: (random(seed, 3) == 0).then(|| uuid(100 + random(seed, 4))),
            parent_uuid: Some(match random(seed, 2) {
                0 => uuid(200 + random(seed, 2)),
                _ => uuid(random(seed, count)),
            }),
            ctransid: random(seed, 20),
            stransid: random(seed, 20),
            tree_bytes: random(seed, 4),
            ..Snapshot::default()
        };
        (0..count).map(&mut one).collect()
    }

    /// One on either side, each looked for from the target on.
    fn by_looking(
        families: &Families,
        target: &Snapshot,
        wanted: impl Fn(&Snapshot) -> bool,
    ) -> Vec<Uuid> {
        let (family, at) = families.place[&target.id()];
        let (older, newer) = families.families[family].split_at(at);
        let fits = |s: &&&Snapshot| s.id() != target.id() && wanted(s);
        let both = [older.iter().rev().find(fits), newer.iter().find(fits)];
        both.into_iter().flatten().map(|s| s.id()).collect()
    }

    #[test]
    fn the_nearest_are_found_without_looking_through_all() {
        let mut seed = 17;
        for round in 0..500 {
            let snapshots = listing(&mut seed);
            let families = Families::new(&snapshots, &Sizes::new());
            let third = random(&mut seed, 3);
            let wanted = |s: &Snapshot| s.ctransid % 3 != third;
            let places = families.places(wanted);
            for target in &snapshots {
                let kin = |s: &Snapshot| {
                    Some(s.uuid) == target.parent_uuid || s.parent_uuid == Some(target.uuid)
                };
                let near = by_looking(&families, target, wanted);
                assert_eq!(families.nearest(target, &places), near, "round {round}");
                let near = by_looking(&families, target, |s| wanted(s) && kin(s));
                assert_eq!(families.nearest_kin(target, wanted), near, "round {round}");
            }
        }
    }

    #[test]
    fn the_densest_stream_stands_for_the_others() {
        let mut seed = 23;
        for _ in 0..100 {
            let snapshots: Vec<Snapshot> = (0..20)
                .map(|n| Snapshot {
                    uuid: uuid(n),
                    parent_uuid: Some(uuid(500)),
                    tree_bytes: random(&mut seed, 1000),
                    ..Snapshot::default()
                })
                .collect();
            let known = |s: &Snapshot| {
                (
                    (s.id(), None, Vec::new()),
                    Size::Exact(random(&mut seed, 9999)).into(),
                )
            };
            let sizes: Sizes = snapshots.iter().take(5).map(known).collect();
            let families = Families::new(&snapshots, &sizes);
            for target in &snapshots {
                let like = |s: &Snapshot| {
                    let size = sizes.get(&(s.id(), None, Vec::new()))?.size.bytes()?;
                    Some(size * target.tree_bytes / s.tree_bytes.max(1))
                };
                let most = snapshots.iter().filter_map(like).max();
                assert_eq!(families.as_dense(target), most);
            }
        }
    }
}
