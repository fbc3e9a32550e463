//! Which chains of an archive to keep: a full backup and all that builds on it stay or go together.
//! Thinks only: times and chains come in as values.

use super::{Candidate, Decision, Holds};
use crate::snapshot::{Graph, Uuid};
use crate::text::counted;
use jiff::{SignedDuration, Timestamp};
use std::collections::{HashMap, HashSet};

/// How many chains are kept. With nothing in it, all are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChainPolicy {
    /// So many of the newest.
    pub newest: Option<u64>,
    /// Those with a backup of the last so many days.
    pub days: Option<u64>,
}

impl ChainPolicy {
    /// Whether everything is kept.
    pub fn keeps_all(&self) -> bool {
        self.newest.is_none() && self.days.is_none()
    }

    /// Judges backups, the newest first. A chain goes only if no rule keeps it; the newest chain,
    /// and what is pinned, always stay.
    pub fn judge(
        &self,
        mut candidates: Vec<Candidate>,
        bonds: &Holds,
        now: Timestamp,
    ) -> Vec<Decision> {
        candidates.sort_by(|a, b| (b.made, &b.path).cmp(&(a.made, &a.path)));
        let roots: Vec<Uuid> = candidates
            .iter()
            .map(|candidate| bonds.graph.root(candidate.id))
            .collect();
        let reasons = self.reasons(&candidates, &roots, bonds, now);
        let verdict = |(candidate, root): (Candidate, Uuid)| {
            let why = reasons.get(&root).map(|all| all.join(", "));
            Decision {
                candidate,
                keep: why.is_some(),
                why: why.unwrap_or_else(|| "no rule keeps its chain".to_owned()),
            }
        };
        candidates.into_iter().zip(roots).map(verdict).collect()
    }

    /// Why chains are kept, by their roots.
    fn reasons(
        &self,
        candidates: &[Candidate],
        roots: &[Uuid],
        bonds: &Holds,
        now: Timestamp,
    ) -> HashMap<Uuid, Vec<String>> {
        let mut reasons: HashMap<Uuid, Vec<String>> = HashMap::new();
        let mut say = |root: Uuid, why: String| {
            let all = reasons.entry(root).or_default();
            if !all.contains(&why) {
                all.push(why);
            }
        };
        for (candidate, root) in candidates.iter().zip(roots) {
            if super::from_future(candidate.made, now) {
                let why = "its time has not come yet: a clock was wrong";
                say(*root, why.to_owned());
            }
        }
        for (at, root) in begun(candidates, roots, now).into_iter().enumerate() {
            if let Some(why) = self.reason_by_place(at) {
                say(root, why);
            }
        }
        for (candidate, root) in candidates.iter().zip(roots) {
            if let Some(days) = self.days.filter(|days| candidate.made >= ago(*days, now)) {
                let days = counted(days, "day");
                let why = format!("its chain has a backup of the last {days}");
                say(*root, why);
            }
            for (_, why) in bonds.pinned.iter().filter(|(id, _)| *id == candidate.id) {
                say(*root, format!("its chain has {why}"));
            }
        }
        reasons
    }

    /// Why a chain is kept for being the so-and-so newest, which counts from 0.
    fn reason_by_place(&self, at: usize) -> Option<String> {
        match self.newest {
            _ if self.keeps_all() => Some("everything is kept".to_owned()),
            Some(newest) if (at as u64) < newest => {
                Some(format!("its chain is one of the newest {newest}"))
            }
            _ if at == 0 => Some("its chain is the newest".to_owned()),
            _ => None,
        }
    }
}

/// The roots of chains by the time of their full backup, which is where a new one begins; the newest first, and
/// none whose time has not come.
fn begun(candidates: &[Candidate], roots: &[Uuid], now: Timestamp) -> Vec<Uuid> {
    let there: HashSet<Uuid> = candidates.iter().map(|candidate| candidate.id).collect();
    let mut seen = HashSet::new();
    let all = candidates.iter().zip(roots);
    let begins = all.filter(|(candidate, root)| {
        let first = candidate.id == **root || !there.contains(*root);
        first && !super::from_future(candidate.made, now)
    });
    let roots = begins.map(|(_, root)| *root);
    roots.filter(|root| seen.insert(*root)).collect()
}

fn ago(days: u64, now: Timestamp) -> Timestamp {
    let hours = i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(24);
    let ago = now.checked_sub(SignedDuration::from_hours(hours.min(1 << 32)));
    ago.unwrap_or(Timestamp::MIN)
}

/// The chains that are of a subvolume, by their roots. `backups` are UUIDs of snapshots, and of
/// what these are snapshots of as far as that was written down. A chain is of the subvolume if that
/// is so for one of its backups, or if its snapshot is `here`, or where that is `enough`, if nothing is
/// known; and then, so is whatever else one of its backups is a snapshot of: a rollback gives a
/// subvolume another UUID.
pub fn own(
    backups: &[(Uuid, Option<Uuid>)],
    graph: &Graph,
    here: &HashSet<Uuid>,
    subvolume: Uuid,
    enough: bool,
) -> HashSet<Uuid> {
    let (mut names, mut own) = (HashSet::from([subvolume]), HashSet::new());
    loop {
        let before = own.len();
        for (id, of) in backups {
            if here.contains(id) || of.map_or(enough, |of| names.contains(&of)) {
                own.insert(graph.root(*id));
            }
        }
        let theirs = backups
            .iter()
            .filter(|(id, _)| own.contains(&graph.root(*id)));
        names.extend(theirs.filter_map(|(_, of)| *of));
        if own.len() == before {
            return own;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> Uuid {
        Uuid([n; 16])
    }

    /// A full backup every four weeks (1, 5, 9, 13), a difference in each of the others.
    fn quarter() -> (Vec<Candidate>, Holds, Timestamp) {
        let start: Timestamp = "2026-01-05T02:00:00Z".parse().unwrap();
        let week = |n: u8| start + SignedDuration::from_hours(24 * 7 * i64::from(n - 1));
        let candidate = |n: u8| Candidate {
            path: n.to_string().into(),
            id: id(n),
            made: week(n),
            arrived: None,
            order: 0,
        };
        let parents = (1..=16).filter(|n| n % 4 != 1);
        let graph = parents.map(|n| (id(n), Some(id(n - 1)))).collect();
        let bonds = Holds {
            graph,
            ..Holds::default()
        };
        ((1..=16).map(candidate).collect(), bonds, week(16))
    }

    fn kept(chains: ChainPolicy, pinned: &[u8]) -> Vec<u8> {
        let (candidates, mut bonds, now) = quarter();
        bonds.pinned = pinned.iter().map(|n| (id(*n), "x".to_owned())).collect();
        let verdicts = chains.judge(candidates, &bonds, now);
        assert!(verdicts.is_sorted_by_key(|v| std::cmp::Reverse(v.candidate.made)));
        let kept = verdicts.iter().filter(|verdict| verdict.keep);
        let mut kept: Vec<u8> = kept.map(|v| v.candidate.id.0[0]).collect();
        kept.sort_unstable();
        kept
    }

    #[test]
    fn chains_of_another_subvolume_are_told_apart() {
        let (_, bonds, _) = quarter();
        let own = |of: &dyn Fn(u8) -> Option<u8>, here: &[u8]| {
            let backups: Vec<_> = (1..=16).map(|n| (id(n), of(n).map(id))).collect();
            let here = here.iter().map(|n| id(*n)).collect();
            let own = super::own(&backups, &bonds.graph, &here, id(100), true);
            let mut own: Vec<u8> = own.iter().map(|id| id.0[0]).collect();
            own.sort_unstable();
            own
        };
        assert_eq!(own(&|_| Some(200), &[]), [0; 0]);
        assert_eq!(own(&|_| None, &[]), [1, 5, 9, 13]);
        let other = |n: u8| Some(if n < 9 { 200 } else { 100 });
        assert_eq!(own(&other, &[]), [9, 13]);
        assert_eq!(own(&other, &[6]), [1, 5, 9, 13]);
        // Another UUID in the middle of a chain.
        assert_eq!(
            own(&|n| Some(if n < 11 { 200 } else { 100 }), &[]),
            [1, 5, 9, 13]
        );
    }

    #[test]
    fn chains_stay_or_go_whole() {
        let chains = |newest, days| ChainPolicy { newest, days };
        assert_eq!(kept(chains(None, None), &[]).len(), 16);
        assert_eq!(kept(chains(Some(1), None), &[]), [13, 14, 15, 16]);
        assert_eq!(kept(chains(Some(2), None), &[]).len(), 8);
        // Backup 12 is 28 days old, and takes 9 to 11 with it.
        assert_eq!(kept(chains(None, Some(28)), &[])[0], 9);
        assert_eq!(kept(chains(None, Some(27)), &[])[0], 13);
        assert_eq!(kept(chains(None, Some(1)), &[])[0], 13);
        assert_eq!(kept(chains(Some(1), Some(28)), &[])[0], 9);
        assert_eq!(kept(chains(Some(1), None), &[2]).len(), 8);
    }
}
