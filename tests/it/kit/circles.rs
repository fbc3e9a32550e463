//! Circles of files: which file uses what of which other, by the names that its code takes. A file and
//! those in the folder beside it are one room with one door: what a child takes from its parent or a
//! parent from its child is no circle by itself. Knows just enough of the language for that.

use super::sources::{Source, paths, words};
use std::collections::{BTreeMap, BTreeSet};

type Uses = BTreeMap<String, BTreeSet<String>>;

/// Every circle of modules, as their names in their order: each uses, near or far, all the others.
pub(crate) fn circles(sources: &[Source]) -> Vec<Vec<String>> {
    let uses = uses(sources);
    let reached: BTreeMap<&String, BTreeSet<String>> =
        uses.keys().map(|at| (at, reached(at, &uses))).collect();
    let circle = |at: &String| -> Vec<String> {
        let back =
            |other: &&String| *other == at || reached.get(other).is_some_and(|r| r.contains(at));
        reached[at].iter().filter(back).cloned().collect()
    };
    let all: BTreeSet<Vec<String>> = uses.keys().map(circle).collect();
    all.into_iter().filter(|circle| circle.len() > 1).collect()
}

fn reached(from: &str, uses: &Uses) -> BTreeSet<String> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(at) = open.pop() {
        for next in uses.get(&at).into_iter().flatten() {
            if found.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    found
}

/// What each module takes names from, but for those that it is in and those that are in it.
fn uses(sources: &[Source]) -> Uses {
    let modules = Modules::of(sources);
    let taken = modules.all.iter().map(|(module, (paths, _))| {
        let homes = paths
            .iter()
            .filter_map(|path| modules.absolute(module, path));
        let homes = homes.filter_map(|path| modules.home(&path, 0));
        let apart = homes.filter(|used| !is_within(used, module) && !is_within(module, used));
        (module.clone(), apart.collect())
    });
    taken.collect()
}

fn is_within(inner: &str, outer: &str) -> bool {
    let rest = inner.strip_prefix(outer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// For each module, the paths in its code, and those of what it passes on (`pub use child::Name`).
struct Modules {
    all: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>,
}

impl Modules {
    fn of(sources: &[Source]) -> Modules {
        let module = |source: &Source| {
            let code = source.code();
            let passed = public_uses(&code);
            let passed = passed.iter().flat_map(|statement| paths(statement));
            let all = paths(&code).into_iter().collect();
            Some((source.module()?, (all, passed.collect())))
        };
        let all = sources.iter().filter_map(module).collect();
        Modules { all }
    }

    /// A path from the top of the crate; `None` if it does not lead to a module of ours.
    fn absolute(&self, module: &str, path: &str) -> Option<String> {
        if let Some(rest) = path.strip_prefix("crate::") {
            return Some(rest.to_owned());
        }
        let (mut above, mut rest) = (module, path);
        while let Some(after) = rest.strip_prefix("super::") {
            (above, _) = above.rsplit_once("::")?;
            rest = after;
        }
        let own = rest.strip_prefix("self::").unwrap_or(rest);
        let first = own.split("::").next().unwrap_or(own);
        let known = own != path || self.all.contains_key(&format!("{above}::{first}"));
        known.then(|| format!("{above}::{own}"))
    }

    /// The module in which the name at the end of a path is at home: where another only passes it on,
    /// that is the other.
    fn home(&self, path: &str, deep: usize) -> Option<String> {
        let mut module = path;
        while !self.all.contains_key(module) {
            (module, _) = module.rsplit_once("::")?;
        }
        let rest = path[module.len()..].trim_start_matches("::");
        let name = rest.split("::").next().filter(|name| !name.is_empty());
        let passed = name.filter(|_| deep < 4).and_then(|name| {
            let ends = |path: &&String| path.rsplit("::").next() == Some(name);
            self.absolute(module, self.all[module].1.iter().find(ends)?)
        });
        let further = passed.and_then(|passed| self.home(&passed, deep + 1));
        Some(further.unwrap_or_else(|| module.to_owned()))
    }
}

/// What stands behind `pub use` and the like.
fn public_uses(code: &str) -> Vec<String> {
    let statement = |text: &str| {
        let words = words(text);
        let at = words.iter().rposition(|word| *word == "use")?;
        let public = words[..at].iter().rposition(|word| *word == "pub")?;
        (at - public <= 4).then(|| words[at + 1..].concat())
    };
    code.split(';').filter_map(statement).collect()
}
