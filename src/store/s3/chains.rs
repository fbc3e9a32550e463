//! Which snapshots can be made of the diffs that are there, and what is wrong with the others.
//! Thinks only: the verdicts on the single diffs come from elsewhere.

use super::layout::Name;
use crate::proof::{Seen, Verdict};
use crate::snapshot::{Uuid, shown};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Diffs and the verdict on each.
pub(super) struct Chains {
    diffs: Vec<(Name, Verdict)>,
    /// How many diffs make a snapshot, by the worst verdict that is let pass: good ones only, and
    /// all but different ones.
    links: [BTreeMap<Uuid, usize>; 2],
}

impl Chains {
    pub(super) fn of(diffs: Vec<(Name, Verdict)>) -> Chains {
        let links = [0, 1].map(|worst| reached(&diffs, worst));
        Chains { diffs, links }
    }

    /// What the snapshot of this UUID has below it.
    pub(super) fn verdict(&self, id: Uuid) -> Verdict {
        let [good, possible] = &self.links;
        if let Some(links) = good.get(&id) {
            return Verdict::seen(
                Seen::Intact,
                match links {
                    1 => "whole".to_owned(),
                    n => format!("chain of {n} diffs to a full one"),
                },
            );
        }
        let weak = self.weakest(id);
        match possible.contains_key(&id) {
            true => Verdict::Unverifiable(weak),
            false => Verdict::Different(format!("cannot be restored: {weak}")),
        }
    }

    /// The first link on the way down that is missing or not intact.
    fn weakest(&self, id: Uuid) -> String {
        let (mut id, mut seen) = (id, BTreeSet::new());
        loop {
            let mut makers: Vec<_> = self.diffs.iter().filter(|(n, _)| n.to == id).collect();
            makers.sort_by_key(|(_, verdict)| verdict.rank());
            let Some((name, verdict)) = makers.first() else {
                return format!("its parent {id} is missing");
            };
            if !seen.insert(id) {
                return "its parents are each other's parents".to_owned();
            }
            match (verdict.rank(), name.from) {
                (0, Some(from)) => id = from,
                (_, _) if seen.len() == 1 => return verdict.words().to_owned(),
                (2, _) => return format!("it builds on {}, which is damaged", shown(&name.path)),
                _ => return format!("it builds on {}, which is unverifiable", shown(&name.path)),
            }
        }
    }
}

/// How many diffs make each snapshot that can be made by diffs whose verdict is no worse.
fn reached(diffs: &[(Name, Verdict)], worst: u8) -> BTreeMap<Uuid, usize> {
    let mut children: BTreeMap<Option<Uuid>, Vec<Uuid>> = BTreeMap::new();
    for (name, _) in diffs.iter().filter(|(_, v)| v.rank() <= worst) {
        children.entry(name.from).or_default().push(name.to);
    }
    let (mut links, mut todo) = (BTreeMap::new(), VecDeque::from([(None, 0)]));
    while let Some((at, count)) = todo.pop_front() {
        for &child in children.get(&at).into_iter().flatten() {
            if let std::collections::btree_map::Entry::Vacant(entry) = links.entry(child) {
                entry.insert(count + 1);
                todo.push_back((Some(child), count + 1));
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chains(diffs: &[(u8, Option<u8>, u8)]) -> Chains {
        let diff = |&(to, from, rank): &(u8, Option<u8>, u8)| {
            let name = Name {
                path: format!("s{to}"),
                to: Uuid([to; 16]),
                from: from.map(|n| Uuid([n; 16])),
            };
            let verdict = match rank {
                0 => Verdict::seen(Seen::Intact, "own"),
                1 => Verdict::Unverifiable("own".to_owned()),
                _ => Verdict::Different("own".to_owned()),
            };
            (name, verdict)
        };
        Chains::of(diffs.iter().map(diff).collect())
    }

    #[test]
    fn a_chain_is_as_good_as_its_weakest_link() {
        let cases: [(&[_], u8, &str); 7] = [
            (&[(1, None, 0)], 0, "whole"),
            (&[(2, None, 0), (1, Some(2), 0)], 0, "chain of 2"),
            (&[(1, Some(2), 0)], 2, "parent 02020202"),
            (&[(2, None, 2), (1, Some(2), 0)], 2, "s2, which is damaged"),
            (&[(2, None, 1), (1, Some(2), 0)], 1, "s2, which is unver"),
            (&[(2, Some(1), 0), (1, Some(2), 0)], 2, "each other's"),
            // A second way down is as good as the first.
            (&[(2, None, 2), (1, Some(2), 0), (1, None, 0)], 0, "whole"),
        ];
        for (diffs, rank, words) in cases {
            let verdict = chains(diffs).verdict(Uuid([1; 16]));
            assert_eq!(verdict.rank(), rank, "{diffs:?}: {verdict:?}");
            assert!(verdict.words().contains(words), "{diffs:?}: {verdict:?}");
        }
    }
}
