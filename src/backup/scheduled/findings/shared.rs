//! Files that have one state or one lock: the one's runs forget what the other's remembered, or wait for each
//! other. Writes nothing.

use super::super::ScheduledOrder;
use crate::backup::config::Config;
use crate::backup::state::RunState;
use crate::error::Error;
use crate::event::{Fault, FaultKind};
use crate::snapshot::shown;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What a file shares with those that are beside it, were named with it, or wrote its state.
pub(super) fn faults(order: &ScheduledOrder, others: &[PathBuf]) -> Vec<Fault> {
    let state = RunState::of(&order.config);
    let ours = order.file.canonicalize().ok();
    let named = others.iter().cloned().chain(state.file);
    let all = named.chain(beside(&order.file));
    let all: BTreeSet<PathBuf> = all.filter_map(|file| file.canonicalize().ok()).collect();
    let strange = all.into_iter().filter(|file| Some(file) != ours.as_ref());
    strange
        .flat_map(|other| shared(&order.config, &other))
        .collect()
}

/// The configurations in the same directory.
fn beside(file: &Path) -> Vec<PathBuf> {
    let dir = std::path::absolute(file).ok();
    let dir = dir.as_deref().and_then(Path::parent);
    let entries = dir.and_then(|dir| dir.read_dir().ok());
    let paths = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect()
}

/// What is no configuration shares nothing.
fn shared(config: &Config, other: &Path) -> Vec<Fault> {
    let Ok(theirs) = Config::read(other) else {
        return Vec::new();
    };
    let (ours, theirs) = (&config.global, &theirs.global);
    let places = [
        (
            FaultKind::State,
            "state",
            &ours.state_path,
            &theirs.state_path,
        ),
        (FaultKind::Lock, "lock", &ours.lock_path, &theirs.lock_path),
    ];
    let same = places
        .into_iter()
        .filter(|(_, _, ours, theirs)| ours == theirs);
    let fault = |(kind, what, path, _): (_, &str, &PathBuf, _)| {
        let doing = format!("cannot use the {what} {}", shown(path));
        let error = Error::failed(doing, format!("{} uses it too", shown(other)));
        let key = format!("global.{what}_path");
        let error = error.hint(format!("give each file a {key} of its own"));
        Fault::failing(kind, key, &error)
    };
    same.map(fault).collect()
}
