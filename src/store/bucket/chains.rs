//! Which snapshots can be made of the streams that are there, and what is wrong with the others.
//! Thinks only: the verdicts on the single streams come from elsewhere.

use super::kept::Kept;
use crate::proof::{Seen, Verdict};
use crate::snapshot::{Graph, Shortest, shown};
use std::collections::HashMap;

/// Streams and the verdict on each.
pub(super) struct Chains<'a> {
    all: &'a [(Kept, Verdict)],
    /// How streams make snapshots, by the worst verdict that is let pass: good ones only, and
    /// all but different ones.
    ways: [Shortest<&'a str>; 2],
    /// What the links of chains are called.
    links: &'static str,
}

impl<'a> Chains<'a> {
    pub(super) fn of(all: &'a [(Kept, Verdict)], links: &'static str) -> Chains<'a> {
        let ways = [0, 1].map(|worst| reached(all, worst));
        Chains { all, ways, links }
    }

    /// What the snapshot that streams of this name make has below it.
    pub(super) fn verdict(&self, name: &str) -> Verdict {
        let [good, possible] = &self.ways;
        if let Some(length) = good.depth(name) {
            return Verdict::seen(
                Seen::Intact,
                match length {
                    1 => "whole".to_owned(),
                    n => format!("chain of {n} {} to a full one", self.links),
                },
            );
        }
        let weak = self.weakest(name);
        match possible.depth(name).is_some() {
            true => Verdict::Unverifiable(weak),
            false => Verdict::Different(format!("cannot be restored: {weak}")),
        }
    }

    /// The first link on the way down that is missing or not intact.
    fn weakest(&self, name: &str) -> String {
        let mut best: HashMap<&str, &(Kept, Verdict)> = HashMap::new();
        for stream in self.all {
            let known = best.entry(&stream.0.name).or_insert(stream);
            if stream.1.rank() < known.1.rank() {
                *known = stream;
            }
        }
        let pairs = best
            .iter()
            .map(|(name, (kept, _))| (*name, kept.on.as_deref()));
        let (way, _) = pairs.collect::<Graph<&str>>().way_down(name);
        for at in way {
            let said = match best.get(at) {
                None => format!("its parent {} is missing", shown(at)),
                Some((_, verdict)) if verdict.rank() == 0 => continue,
                Some((_, verdict)) if at == name => verdict.words().to_owned(),
                Some((kept, verdict)) => {
                    let word = ["", "unverifiable", "damaged"][usize::from(verdict.rank())];
                    format!("it builds on {}, which is {word}", shown(&kept.path))
                }
            };
            return said;
        }
        "its parents are each other's parents".to_owned()
    }
}

/// How to make each snapshot that can be made by streams whose verdict is no worse.
fn reached(all: &[(Kept, Verdict)], worst: u8) -> Shortest<&str> {
    let passed = all.iter().filter(|(_, verdict)| verdict.rank() <= worst);
    let pairs = passed.map(|(kept, _)| (&*kept.name, kept.on.as_deref()));
    pairs.collect::<Graph<&str>>().shortest()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(&(to, from, rank): &(u8, Option<u8>, u8)) -> (Kept, Verdict) {
        let kept = Kept {
            path: format!("s{to}"),
            name: to.to_string(),
            on: from.map(|from| from.to_string()),
            ..Kept::default()
        };
        let verdict = match rank {
            0 => Verdict::seen(Seen::Intact, "own"),
            1 => Verdict::Unverifiable("own".to_owned()),
            _ => Verdict::Different("own".to_owned()),
        };
        (kept, verdict)
    }

    #[test]
    fn a_chain_is_as_good_as_its_weakest_link() {
        let cases: [(&[_], u8, &str); 7] = [
            (&[(1, None, 0)], 0, "whole"),
            (&[(2, None, 0), (1, Some(2), 0)], 0, "chain of 2 diffs"),
            (&[(1, Some(2), 0)], 2, "parent 2 "),
            (&[(2, None, 2), (1, Some(2), 0)], 2, "s2, which is damaged"),
            (&[(2, None, 1), (1, Some(2), 0)], 1, "s2, which is unver"),
            (&[(2, Some(1), 0), (1, Some(2), 0)], 2, "each other's"),
            // A second way down is as good as the first.
            (&[(2, None, 2), (1, Some(2), 0), (1, None, 0)], 0, "whole"),
        ];
        for (diffs, rank, words) in cases {
            let all: Vec<_> = diffs.iter().map(kept).collect();
            let verdict = Chains::of(&all, "diffs").verdict("1");
            assert_eq!(verdict.rank(), rank, "{diffs:?}: {verdict:?}");
            assert!(verdict.words().contains(words), "{diffs:?}: {verdict:?}");
        }
    }
}
