//! What of a configuration cannot work as it stands: destinations that are not there or may not be used,
//! programs that are missing, classes that nobody knows. Looks only; changes nothing.

use super::ScheduledOrder;
use crate::backup::config::{Config, DestinationConfig, is_known_class};
use crate::backup::oneshot::check_mount;
use crate::backup::state::RunState;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Listener};
use crate::snapshot::shown;
use crate::store::{self, Access, Means};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Opens each destination to look, and tells of what is wrong.
///
/// # Errors
/// If something is, whatever else is right.
pub fn look_for_faults(
    order: &ScheduledOrder,
    means: &Means,
    listener: &mut Listener,
) -> Result<()> {
    let config = &order.config;
    let mut failed = 0;
    if let Err(error) = state_must_be_ours(order) {
        failed += 1;
        listener(Event::destination(
            &shown(&config.global.state_path),
            Err(&error),
        ));
    }
    for dest in &config.destinations {
        match reach(config, dest, means) {
            Ok(()) => {}
            Err(error) if error.kind == Kind::Interrupted => return Err(error),
            Err(error) => {
                failed += 1;
                listener(Event::destination(&dest.title(), Err(&error)));
            }
        }
    }
    let programs = [
        &config.hooks.before,
        &config.hooks.after,
        &config.notify.command,
    ];
    for program in programs.into_iter().flatten() {
        if let Err(error) = must_run(&program[0]) {
            failed += 1;
            listener(Event::destination(&program[0], Err(&error)));
        }
    }
    for class in unknown_classes(config) {
        listener(Event::note(format!(
            "AWS knows no storage class {class:?}: is another service meant by endpoint_url?"
        )));
    }
    match failed {
        0 => Ok(()),
        _ => {
            let doing = format!("checking {}", shown(&order.file));
            Err(Error::failed(doing, "not all that it names can be used"))
        }
    }
}

/// Two files would forget what the other one remembered.
fn state_must_be_ours(order: &ScheduledOrder) -> Result<()> {
    let path = &order.config.global.state_path;
    let (state, _) = RunState::of(&order.config);
    let ours = std::path::absolute(&order.file).ok();
    let other = state.file.filter(|file| Some(file) != ours.as_ref());
    let same = |other: &PathBuf| {
        let config = Config::read(other);
        config.is_ok_and(|config| config.global.state_path == *path)
    };
    match other.filter(same) {
        Some(other) => {
            let doing = format!("cannot use the state {}", shown(path));
            let said = format!(
                "{} uses it too: give each a global.state_path of its own",
                shown(other)
            );
            Err(Error::failed(doing, said))
        }
        None => Ok(()),
    }
}

/// Whether a run would find the destination as it has to be.
fn reach(config: &Config, dest: &DestinationConfig, means: &Means) -> Result<()> {
    if let Some(of) = config.subvolumes.first().filter(|_| dest.require_mount) {
        check_mount(&of.path, &dest.place)?;
    }
    store::open(&dest.place, Access::Read, &dest.means(means)).map(drop)
}

fn must_run(program: &str) -> Result<()> {
    let doing = || format!("cannot run {program}");
    let found = Path::new(program).metadata();
    let found = found.map_err(|error| Error::io(doing(), error))?;
    match found.is_file() && found.permissions().mode() & 0o111 != 0 {
        true => Ok(()),
        false => Err(Error::failed(doing(), "it is no program: chmod +x it")),
    }
}

/// Of services other than AWS anything may be right.
fn unknown_classes(config: &Config) -> Vec<&str> {
    let archives = config.archives.iter();
    let archive =
        archives.filter(|one| one.endpoint_url.is_none() && !one.bucket.starts_with("raw:"));
    let classes = archive.flat_map(|s3| [&s3.storage_class_chunks, &s3.storage_class_manifest]);
    let others = config
        .destinations
        .iter()
        .filter_map(DestinationConfig::aws_class);
    let all = classes.map(String::as_str).chain(others);
    all.filter(|class| !is_known_class(class)).collect()
}
