//! What of a configuration cannot work as it stands: destinations that are not there or may not be used,
//! programs that are missing, classes that nobody knows. Looks only; changes nothing.

mod shared;
mod sizes;

use super::ScheduledOrder;
use crate::backup::config::{Config, DestinationConfig, STORAGE_CLASSES};
use crate::backup::oneshot::check_mount;
use crate::error::{Cause, Error, Kind, Result};
use crate::event::{Event, Fault, FaultKind, Listener};
use crate::snapshot::shown;
use crate::store::{self, Access, StoreOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Opens each destination to look, and tells of what is wrong. `others` are files that are looked at beside
/// this one; those in the same directory always are.
///
/// # Errors
/// If a run could not do what the file says, whatever else is right.
pub fn look_for_faults(
    order: &ScheduledOrder,
    others: &[PathBuf],
    store_options: &StoreOptions,
    listener: &mut Listener,
) -> Result<()> {
    let config = &order.config;
    let mut faults = shared::faults(order, others);
    for dest in &config.destinations {
        let fault = unreachable(config, dest, store_options);
        if let Some(fault) = &fault
            && fault.error.kind == Kind::Interrupted
        {
            return Err(fault.error.clone());
        }
        faults.extend(fault);
    }
    faults.extend(programs(config));
    faults.extend(sizes::faults(config));
    faults.extend(unknown_classes(config));
    let failed = faults.iter().any(|fault| fault.fails);
    faults
        .into_iter()
        .for_each(|fault| listener(Event::from(fault)));
    match failed {
        false => Ok(()),
        true => {
            let doing = format!("checking {}", shown(&order.file));
            Err(Error::failed(doing, "not all that it names can be used"))
        }
    }
}

/// Why a run would not find the destination as it has to be.
fn unreachable(
    config: &Config,
    dest: &DestinationConfig,
    store_options: &StoreOptions,
) -> Option<Fault> {
    let source = config.subvolumes.first().filter(|_| dest.require_mount);
    let mounted = source.map_or(Ok(()), |of| check_mount(&of.path, &dest.place));
    match mounted {
        Ok(()) => {}
        Err(error) if error.kind == Kind::Refused => {
            let key = "destination.require_mount";
            return Some(Fault::failing(FaultKind::Mount, key, &error));
        }
        Err(error) => return Some(Fault::failing(FaultKind::Destination, LOCATION, &error)),
    }
    let error = store::open(
        &dest.place,
        Access::Read,
        &dest.store_options(store_options),
    )
    .err()?;
    let no_answer = matches!(error.cause, Some(Cause::Connection | Cause::Exit(255)));
    let kind = match dest.place.elsewhere().is_some() && no_answer {
        true => FaultKind::Host,
        false if dest.place.is_at_a_service() => FaultKind::Bucket,
        false => FaultKind::Destination,
    };
    Some(Fault::failing(kind, LOCATION, &error))
}

const LOCATION: &str = "destination.location";

fn programs(config: &Config) -> impl Iterator<Item = Fault> {
    let named = [
        ("hooks.before", &config.hooks.before),
        ("hooks.after", &config.hooks.after),
        ("notify.command", &config.notify.command),
    ];
    named.into_iter().filter_map(|(key, words)| {
        let error = must_run(&words.as_ref()?[0]).err()?;
        Some(Fault::failing(FaultKind::Program, key, &error))
    })
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
fn unknown_classes(config: &Config) -> impl Iterator<Item = Fault> {
    let archives = config.archives.iter();
    let at_aws = archives.filter(|one| one.endpoint_url.is_none());
    let classes = at_aws.flat_map(|one| {
        let chunks = if one.is_section() {
            "storage_class_chunks"
        } else {
            "storage_class"
        };
        [
            (one.key(chunks), one.storage_class_chunks.as_deref()),
            (
                one.key("storage_class_manifest"),
                one.storage_class_manifest.as_deref(),
            ),
        ]
        .into_iter()
        .filter_map(|(key, class)| Some((key, class?)))
    });
    let others = config
        .destinations
        .iter()
        .filter_map(DestinationConfig::aws_class);
    let others = others.map(|class| ("destination.storage_class".to_owned(), class));
    let unknown = classes
        .chain(others)
        .filter(|(_, class)| !STORAGE_CLASSES.contains(class));
    unknown.map(|(key, class)| {
        let words = format!(
            "AWS knows no storage class {class:?}: is another service meant by endpoint_url?"
        );
        Fault::harmful(FaultKind::Class, &key, &words)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::config::OwnFiles;

    #[test]
    fn classes_that_aws_does_not_know() {
        let text = "subvolumes.paths = ['/a']\n[s3]\nbucket = 'b'\nregion = 'r'\nprefix = 'p'\n\
                    storage_class_chunks = 'DEEP'\n[[destination]]\nkind = 'archive'\nname = 'x'\n\
                    location = 's3://c/'\nstorage_class = 'COLD'\nstorage_class_manifest = 'standard'\n\
                    [[destination]]\nlocation = 's3://d/'\nstorage_class = 'ICE'\n\
                    [[destination]]\nlocation = 's3://e/'\nstorage_class = 'OURS'\n\
                    endpoint_url = 'http://localhost'\n";
        let config = Config::parse("x", text, &OwnFiles::of(Path::new("/etc/x.toml"))).unwrap();
        let found = unknown_classes(&config).map(|fault| (fault.key.unwrap(), fault.fails));
        let key = |key: &str| (key.to_owned(), false);
        let expected = [
            key("s3.storage_class_chunks"),
            key("destination.storage_class"),
            key("destination.storage_class"),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }
}
