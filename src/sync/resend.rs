//! Copies that turned out to be wrong, replaced one by one: sent again beside the old copy, compared,
//! and exchanged with it. What was built on a wrong copy may be wrong too, and is never passed over.

use super::{check_copy, transfer};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Listener, Summary};
use crate::log;
use crate::plan::{Action, Plan, Step};
use crate::process;
use crate::snapshot::{Listing, Size, Snapshot, State, Uuid, shown};
use crate::store::{Receipt, Store};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// What the names of copies end with until they are compared.
const BESIDE: &str = ".resent";

/// Where a copy is until it is compared.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(BESIDE);
    name.into()
}

/// Plans to send these snapshots of the destination again, each before what was built on it: whole,
/// or as the difference from one that is sent again before it.
///
/// # Errors
/// If a name is none of the destination's, the source does not have it unaltered, or something else
/// was built on it: then what.
pub fn plan(names: &[PathBuf], here: &Listing, there: &Listing) -> Result<Plan> {
    let mut wrong = names
        .iter()
        .map(|name| copy(name, there))
        .collect::<Result<Vec<_>>>()?;
    let lineage = there.lineage();
    wrong.sort_by_key(|s| (lineage.way_down(s.uuid).0.len(), s.path.clone()));
    wrong.dedup_by_key(|s| s.uuid);
    complete(&wrong, there)?;
    let mut plan = Plan {
        compare: true,
        ..Plan::default()
    };
    for copy in &wrong {
        let sound = |s: &Snapshot| s.id() == copy.id() && s.may_be_source();
        if !here.snapshots.iter().any(sound) {
            let said = format!("{} does not have it unaltered", here.location);
            return Err(Error::refused(doing(&copy.path), said));
        }
        let parent = wrong.iter().find(|s| copy.parent_uuid == Some(s.uuid));
        plan.steps.push(Step {
            from: parent.map(|s| s.id()),
            size: Size::Unknown,
            ..Step::new(Action::Transfer, copy, "sent again, to replace the copy")
        });
    }
    Ok(plan)
}

fn doing(path: &Path) -> String {
    format!("cannot send {} again", shown(path))
}

fn copy<'a>(name: &Path, there: &'a Listing) -> Result<&'a Snapshot> {
    let found = there.snapshots.iter().find(|s| s.path == name);
    match found.filter(|s| s.read_only && s.received_uuid.is_some()) {
        Some(copy) => Ok(copy),
        None => {
            let said = format!("{} has no received snapshot of that name", there.location);
            Err(Error::usage(doing(name), said))
        }
    }
}

/// What was built on a wrong copy is sent again as well.
fn complete(wrong: &[&Snapshot], there: &Listing) -> Result<()> {
    let lineage = there.lineage();
    let named: HashSet<Uuid> = wrong.iter().map(|s| s.uuid).collect();
    for copy in wrong {
        let all = there.built_on(copy.uuid);
        let begun = |s: &Snapshot| wrong.iter().any(|copy| beside(&copy.path) == s.path);
        let mut missing: Vec<_> = all.iter().collect();
        missing.retain(|s| !named.contains(&s.uuid) && !begun(s));
        missing.sort_by_key(|s| lineage.way_down(s.uuid).0.len());
        if missing.is_empty() {
            continue;
        }
        let names: Vec<String> = missing.iter().map(|s| shown(&s.path)).collect();
        let words: Vec<String> = wrong
            .iter()
            .map(|s| shown(&s.path))
            .chain(names.clone())
            .collect();
        let said = format!(
            "{} built on it, and may have the same wrong bytes",
            match &names[..] {
                [one] => format!("{one} was"),
                _ => format!("{} were", names.join(", ")),
            },
        );
        let way = format!(
            "send them again too (--resend {}), or delete them",
            words.join(" --resend ")
        );
        return Err(Error::refused(doing(&copy.path), said).hint(way));
    }
    Ok(())
}

/// Carries out such a plan.
///
/// # Errors
/// As [`super::carry_out`] says.
pub fn carry_out(
    plan: &Plan,
    source: &mut dyn Store,
    dest: &mut dyn Store,
    listener: &mut Listener,
) -> Result<Summary> {
    check_copy::must_compare(plan, source, dest)?;
    dest.will_compare(plan.compare);
    let there = dest.list()?;
    let mut summary = Summary::default();
    let mut lost = HashSet::new();
    for step in &plan.steps {
        let lost_parent = step.from.is_some_and(|from| lost.contains(&from));
        let result = match lost_parent {
            true => Err(super::step::orphan(step)),
            false => replace(plan, step, &there, source, dest, &mut summary, listener),
        };
        match result {
            Ok(receipt) => {
                summary.count(step, &receipt);
                listener(Event::ended(step, Ok(receipt)));
            }
            Err(error) => {
                listener(Event::ended(step, Err(&error)));
                if error.kind == Kind::Interrupted {
                    return Err(error);
                }
                lost.insert(step.to);
                summary.failed += 1;
            }
        }
    }
    Ok(summary)
}

/// Sends one beside its copy, compares it, and exchanges the two. Where the difference from its
/// parent does not come out right, it is sent whole.
fn replace(
    plan: &Plan,
    step: &Step,
    there: &Listing,
    source: &mut dyn Store,
    dest: &mut dyn Store,
    summary: &mut Summary,
    listener: &mut Listener,
) -> Result<Receipt> {
    process::check("synchronising")?;
    listener(Event::Started(step.clone()));
    let mut beside = Step {
        path: beside(&step.path),
        ..step.clone()
    };
    let receipt = match has_arrived(&beside, there) {
        true => compare_arrived(plan, &beside, source, dest, summary, listener)?,
        false => None,
    };
    let mut bring = |beside: &Step| -> Result<Receipt> {
        let moved = &mut |bytes| listener(Event::Moved { bytes });
        let receipt = transfer(source, dest, &beside.diff(), &beside.path, moved)?;
        check_copy::hold(plan, beside, source, dest, summary, listener)?;
        Ok(receipt)
    };
    let receipt = match receipt.map_or_else(|| bring(&beside), Ok) {
        Err(error) if beside.from.is_some() && error.kind != Kind::Interrupted => {
            beside.from = None;
            bring(&beside)
        }
        other => other,
    }?;
    match dest.exchange(&beside.path, &step.path) {
        Ok(()) => Ok(receipt),
        Err(error) => Err(check_copy::rejected(&beside, dest, error)),
    }
}

/// Whether an earlier run brought it, sound as far as its records say, and was ended then.
fn has_arrived(beside: &Step, there: &Listing) -> bool {
    let sound = |s: &&Snapshot| matches!(s.state, State::Ok | State::Uncompared);
    let found = there.snapshots.iter().find(|s| s.path == beside.path);
    found
        .filter(sound)
        .is_some_and(|s| s.id() == beside.to && s.received_uuid.is_some())
}

/// Compares what an earlier run brought; `None` if it is not right, and has to be sent again.
fn compare_arrived(
    plan: &Plan,
    beside: &Step,
    source: &mut dyn Store,
    dest: &mut dyn Store,
    summary: &mut Summary,
    listener: &mut Listener,
) -> Result<Option<Receipt>> {
    let whole = Step {
        from: None,
        ..beside.clone()
    };
    match check_copy::hold(plan, &whole, source, dest, summary, listener) {
        Err(error) if error.kind == Kind::Interrupted => Err(error),
        Err(error) => {
            log::line(|| error.to_string());
            Ok(None)
        }
        Ok(()) => Ok(Some(Receipt::of(0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(n: u8, parent: Option<u8>) -> Snapshot {
        Snapshot {
            path: n.to_string().into(),
            uuid: Uuid([n + 100; 16]),
            received_uuid: Some(Uuid([n; 16])),
            parent_uuid: parent.map(|n| Uuid([n + 100; 16])),
            read_only: true,
            ..Snapshot::default()
        }
    }

    fn listing(snapshots: Vec<Snapshot>) -> Listing {
        Listing {
            snapshots,
            ..Listing::default()
        }
    }

    fn planned(names: &[&str]) -> Result<Vec<(String, Option<Uuid>)>> {
        let there = listing(vec![
            snapshot(3, Some(2)),
            snapshot(2, Some(1)),
            snapshot(1, None),
            snapshot(4, None),
        ]);
        let here = listing((1..=3).map(|n| snapshot(n, None)).collect());
        let names: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
        let plan = plan(&names, &here, &there)?;
        Ok(plan
            .steps
            .iter()
            .map(|s| (shown(&s.path), s.from))
            .collect())
    }

    #[test]
    fn what_was_built_on_it_comes_along() {
        assert_eq!(planned(&["3"]).unwrap(), [("3".to_owned(), None)]);
        let all = planned(&["3", "1", "2", "2"]).unwrap();
        let from = |n| Some(Uuid([n; 16]));
        let expected = [("1", None), ("2", from(1)), ("3", from(2))];
        assert_eq!(all, expected.map(|(name, from)| (name.to_owned(), from)));
        let error = planned(&["1", "3"]).unwrap_err();
        assert!(error.said.contains("2 was built on it"), "{error}");
        let error = planned(&["1"]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("--resend 1 --resend 2 --resend 3)"),
            "{error}"
        );
    }

    #[test]
    fn only_what_both_have_is_sent_again() {
        assert_eq!(planned(&["5"]).unwrap_err().exit_code(), 2);
        let error = planned(&["4"]).unwrap_err();
        assert!(error.said.contains("does not have it unaltered"), "{error}");
    }
}
