//! What can happen to a subvolume in one step, how often, and to which end of a history. A step
//! is known by its seed and its index alone.

mod content;
mod names;
mod rights;

use super::dice::Dice;
use super::work::{Done, Work};

pub(crate) type Step = fn(&mut Work, &mut Dice) -> Done;

/// Kinds of steps that find faults together, and how many times of the whole each happens.
const GROUPS: &[&[(usize, Step)]] = &[
    &[
        (10, content::write),
        (6, content::append),
        (6, content::log),
        (10, content::truncate),
        (3, content::overwrite),
    ],
    &[
        (3, content::allocate),
        (2, content::map),
        (2, content::direct),
        (2, content::flagged),
        (1, rights::property),
        (4, content::bring_back),
        (3, content::reflink),
    ],
    &[
        (3, rights::mode),
        (3, rights::owner),
        (5, rights::owner_and_mode),
        (3, rights::capable),
        (1, rights::not_capable),
    ],
    &[
        (3, rights::heritage),
        (2, rights::access),
        (1, rights::times),
    ],
    &[(5, rights::big_xattr)],
    &[
        (7, names::dir),
        (4, names::shift),
        (4, names::nest),
        (3, names::invert),
        (3, names::exchange),
        (3, names::succeed),
        (3, names::overtake),
        (4, names::dissolve),
        (4, names::remove),
        (1, names::many_dirs),
    ],
    &[
        (3, names::link),
        (4, names::link_for_dir),
        (1, names::many_links),
        (2, names::fewer_links),
        (2, names::special),
    ],
    &[(2, names::nested), (2, names::nested_goes)],
    &[(5, names::unlink_open), (1, names::close)],
];

/// Each kind of step.
pub(crate) fn all() -> Vec<Step> {
    GROUPS.concat().into_iter().map(|(_, step)| step).collect()
}

/// Of the steps that a history takes before its first snapshot, most make something.
const FIRST: &[Step] = &[
    names::dir,
    names::dir,
    content::write,
    content::write,
    content::log,
    names::link,
];

/// How long a history is, and what it likes.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    seed: u64,
    pub(crate) steps: usize,
    period: usize,
    likes: usize,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Plan {
        let mut dice = Dice::new(seed, usize::MAX);
        let period = dice.within(8, 18);
        Plan {
            seed,
            steps: (1 + SNAPSHOTS) * period + 1,
            period,
            likes: seed as usize % (GROUPS.len() + 1),
        }
    }

    /// Takes the step of an index. That one fails, as when a name is taken, is a part of the history.
    pub(crate) fn take(self, work: &mut Work, step: usize) {
        let mut dice = Dice::new(self.seed, step);
        work.said.push(format!("{step}"));
        let done = match (step / self.period, step % self.period) {
            (2.., 0) => work.snapshot(step),
            (3.., 1) if dice.percent(30) => work.roll_back(&mut dice),
            (0 | 1, _) if dice.percent(70) => dice.pick(FIRST)(work, &mut dice),
            _ => self.ordinary(work, &mut dice),
        };
        if let Err(error) = done {
            work.say(&format!("no: {error}"));
        }
    }

    fn ordinary(self, work: &mut Work, dice: &mut Dice) -> Done {
        let group = match GROUPS.get(self.likes) {
            Some(group) if dice.percent(45) => (*group).to_vec(),
            _ => GROUPS.concat(),
        };
        if dice.percent(5) {
            work.remount();
        } else if dice.percent(8) {
            work.say("sync");
            let fs = work.fs.clone();
            work.hands.sync(&fs)?;
        }
        let mut left = dice.below(group.iter().map(|(times, _)| times).sum());
        for (times, step) in &group {
            match left.checked_sub(*times) {
                Some(less) => left = less,
                None => return step(work, dice),
            }
        }
        Ok(())
    }
}

/// How many snapshots a history has.
const SNAPSHOTS: usize = 6;
