//! `[[destination]]`: a place for snapshots, when it gets them, which stay there, and how it is reached.
//! Opens none.

use super::archive::{self, ArchiveConfig, class};
use super::keys::{OF_ARCHIVES, OF_SNAPSHOTS};
use super::looks::{self, LookAgain};
use super::policy;
use super::reader::ConfigReader;
use super::subvolumes::cycle;
use crate::backup::retention::Policy;
use crate::backup::schedule::{Cycle, Schedule};
use crate::error::{Error, Result};
use crate::store::{Location, Place, StoreOptions};
use jiff::SignedDuration;
use std::ffi::OsString;
use std::path::Path;

/// Where snapshots go beside the bucket.
#[derive(Clone, Debug)]
pub struct DestinationConfig {
    /// What `[[subvolume]]` calls it.
    pub name: Option<String>,
    /// Further names, which others may have too.
    pub groups: Vec<String>,
    /// A directory of snapshots.
    pub place: Place,
    /// How often it gets the newest; `None` for each, as soon as it is made.
    pub cycle: Option<Cycle>,
    /// Which snapshots stay there.
    pub keeps: Policy,
    /// How old the newest may be there before that is late.
    pub max_age: Option<SignedDuration>,
    /// How what it has is looked at again, if it is.
    pub verify: Option<LookAgain>,
    /// On this machine it must be on a filesystem mounted for it.
    pub require_mount: bool,
    /// What arrives there is held against its source.
    pub compare: bool,
    reached: Reached,
}

/// How it is reached, where it is said for it alone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Reached {
    ssh_options: Vec<String>,
    bwlimit: Option<u64>,
    storage_class: Option<String>,
    region: Option<String>,
    endpoint_url: Option<String>,
    profile: Option<String>,
}

impl DestinationConfig {
    /// Whether a `[[subvolume]]` that says so means it.
    pub fn is_called(&self, word: &str) -> bool {
        self.name.as_deref() == Some(word) || self.groups.iter().any(|group| group == word)
    }

    /// What it is called in words: its name, or its place.
    pub fn title(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.place.to_string())
    }

    /// The storage class that is asked for at AWS, if one is.
    pub fn aws_class(&self) -> Option<&str> {
        let own = self.reached.storage_class.as_deref();
        own.filter(|_| self.reached.endpoint_url.is_none())
    }

    /// How it is reached. The command line comes first.
    pub fn store_options(&self, store_options: &StoreOptions) -> StoreOptions {
        let mut store_options = store_options.clone();
        let own = &self.reached;
        store_options
            .ssh
            .options
            .extend(own.ssh_options.iter().map(OsString::from));
        store_options.bwlimit = store_options.bwlimit.or(own.bwlimit);
        let s3 = &mut store_options.s3;
        s3.storage_class = s3
            .storage_class
            .take()
            .or_else(|| own.storage_class.clone());
        s3.region = s3.region.take().or_else(|| own.region.clone());
        s3.endpoint_url = s3.endpoint_url.take().or_else(|| own.endpoint_url.clone());
        s3.profile = s3.profile.take().or_else(|| own.profile.clone());
        store_options
    }
}

/// What a `[[destination]]` turns out to be.
pub(super) enum Kind {
    Place(Box<DestinationConfig>),
    Archive(Box<ArchiveConfig>),
}

pub(super) fn read(file: &mut ConfigReader, usual: &Policy, schedule: Schedule) -> Result<Kind> {
    const KINDS: &[(&str, bool)] = &[("snapshots", false), ("archive", true)];
    let place = place(file)?;
    let is_archive = file.choice("destination.kind", "snapshots", KINDS)?;
    let (strange, what) = match is_archive {
        true => (OF_SNAPSHOTS, "snapshots as they are"),
        false => (OF_ARCHIVES, "kind = \"archive\""),
    };
    if let Some(key) = strange.iter().find(|key| file.has_key(key)) {
        return Err(file.wrong(key, &format!("is only for {what}")));
    }
    match is_archive {
        true => Ok(Kind::Archive(Box::new(archive::destination(
            file, &place, schedule,
        )?))),
        false => Ok(Kind::Place(Box::new(snapshots(
            file, place, usual, schedule,
        )?))),
    }
}

fn snapshots(
    file: &mut ConfigReader,
    place: Place,
    usual: &Policy,
    schedule: Schedule,
) -> Result<DestinationConfig> {
    let none = Policy {
        calendar: usual.calendar,
        ..Policy::default()
    };
    let keeps = policy::DESTINATION.read(file, &none)?;
    let compare = file.flag("destination.compare", false)?;
    if compare && place.keeps_streams() {
        let what = "is true, and in a bucket there is nothing to compare with before a restore \
                    (restore --verify full compares then)";
        return Err(file.wrong("destination.compare", what));
    }
    Ok(DestinationConfig {
        name: file.optional("destination.name")?,
        groups: file.words("destination.groups")?,
        cycle: cycle(
            file,
            ("destination.every", "destination.at"),
            schedule.run_at,
        )?,
        keeps,
        max_age: policy::age(file, "destination.max_age")?,
        verify: looks::read(
            file,
            "destination.verify",
            schedule.run_at,
            place.keeps_streams(),
        )?,
        compare,
        require_mount: file.flag("destination.require_mount", false)?,
        reached: reached(file, &place)?,
        place,
    })
}

fn place(file: &mut ConfigReader) -> Result<Place> {
    const KEY: &str = "destination.location";
    let text = file.required(KEY)?;
    let location = Location::directory(text.as_ref());
    let said = |error: Error| file.wrong(KEY, &format!("is wrong: {error}"));
    let place = location.map_err(said)?.place;
    if place.path().is_some_and(Path::is_relative) {
        let what = format!("is {text:?}, and must be an absolute path, ssh://…, s3://… or raw:/…");
        return Err(file.wrong(KEY, &what));
    }
    Ok(place)
}

/// What has no say where the place is of another kind is a mistake.
fn reached(file: &mut ConfigReader, place: &Place) -> Result<Reached> {
    let (far, bucket) = (place.elsewhere().is_some(), place.is_at_a_service());
    for (key, store_options, what) in [
        ("destination.ssh_options", far, "ssh://… and raw+ssh://…"),
        ("destination.storage_class", bucket, "s3://…"),
        ("destination.region", bucket, "s3://…"),
        ("destination.endpoint_url", bucket, "s3://…"),
        ("destination.profile", bucket, "s3://…"),
        (
            "destination.bwlimit_bytes",
            far || bucket,
            "ssh://…, raw+ssh://… and s3://…",
        ),
    ] {
        if file.has_key(key) && !store_options {
            return Err(file.wrong(key, &format!("is only for {what}")));
        }
    }
    Ok(Reached {
        ssh_options: file.words("destination.ssh_options")?,
        bwlimit: file.optional_number("destination.bwlimit_bytes", 1)?,
        storage_class: file.optional("destination.storage_class")?.map(class),
        region: file.optional("destination.region")?,
        endpoint_url: file.optional("destination.endpoint_url")?,
        profile: file.optional("destination.profile")?,
    })
}
