//! What the old program's files do not say: subvolumes and destinations with words of their own.

use super::*;
use crate::backup::retention;

/// Two disks and a friend's server: no bucket at all.
const TWO_DISKS: &str = "
schedule = { every = '1d', run_at = '03:30' }
[snapshots]
keep = '24h 7d'
keep_min = '2d'
week_starts = 'sunday'
pinned = ['*__20260101T*']
[[subvolume]]
path = '/home'
every = '1h'
destinations = ['disk', 'away']
[[subvolume]]
path = '/srv/mail'
snapshots = '/srv/kept'
retain = 3
keep_min = 'all'
on_change = true
noauto = true
[[destination]]
name = 'disk'
location = '/mnt/disk/snapshots/'
keep = '7d 4w 12m 2y'
keep_from = 'first'
keep_hour = 5
[[destination]]
name = 'friend'
groups = ['away']
location = 'ssh://friend/backups/'
every = '1w'
at = '12:00'
ssh_options = ['Port=2222']
bwlimit_bytes = 1000000
[[destination]]
location = 's3://bucket/prefix/'
storage_class = 'standard_ia'
";

/// Archives have keys of their own, and a place and a name that nothing else has.
#[test]
fn archives_among_destinations() {
    let archive = "[[destination]]\nkind = 'archive'\nname = 'cold'\n";
    let text = |more: &str| format!("{LEAST}{archive}location = 's3://cold/a/b/'\n{more}\n");
    let config = parse(&text(
        "every = '1m'\nfull_every = '1y'\nstorage_class = 'glacier'\nretain_full_chains = 3\n\
         region = 'eu-central-1'\ngroups = ['away']\n\
         [[subvolume]]\npath = '/srv/own'\ndestinations = ['away']",
    ));
    let config = config.unwrap();
    let [first, cold] = &config.archives[..] else {
        panic!("{:?}", config.archives);
    };
    assert_eq!((&*first.name, &*cold.name), (ARCHIVE, "cold"));
    assert_eq!(first.location(), "s3://my-backup-bucket/btrfs/host-01/");
    assert_eq!(
        (&*cold.bucket, &*cold.location()),
        ("cold", "s3://cold/a/b/")
    );
    assert_eq!(cold.storage_class_chunks.as_deref(), Some("GLACIER"));
    assert_eq!(cold.schedule.full_every, Every::parse("1y").unwrap());
    assert_eq!(cold.schedule.run_at, first.schedule.run_at);
    assert!(config.destinations.is_empty());
    let goes = |at: usize| config.archives_of(&config.subvolumes[at]).len();
    assert_eq!((goes(0), goes(2)), (2, 1));
    for (from, to, words) in [
        (
            "location",
            "compare = true\nlocation",
            "destination.compare is only for snapshots",
        ),
        (
            "location",
            "keep = '7d'\nlocation",
            "destination.keep is only for snapshots",
        ),
        ("name = 'cold'\n", "", "destination.name is missing"),
        ("'cold'", "'s3'", "something else is called"),
        ("s3://cold/a/b/", "/srv/x/", "an archive is at s3://"),
        (
            "s3://cold/a/b/'",
            "raw:/srv/x/'\nsse = 'none'",
            "destination.sse is only for a bucket at a service",
        ),
        ("'archive'", "'archief'", "did you mean archive?"),
        (
            "cold/a/b/",
            "my-backup-bucket/btrfs/host-01/",
            "names s3://my-backup-bucket/btrfs/host-01/ twice",
        ),
        (
            "location",
            "verify = { sample = '1G' }\nlocation",
            "lacks every",
        ),
        (
            "location",
            "verify = { every = '1x' }\nlocation",
            "has a wrong every",
        ),
        (
            "location",
            "verify = { often = '1d' }\nlocation",
            "has often, and may have every, sample",
        ),
        ("location", "verify = '30d'\nlocation", "must be a table"),
        (
            "kind = 'archive'",
            "chunk_size_bytes = 9",
            "destination.chunk_size_bytes is only for kind = \"archive\"",
        ),
    ] {
        refused(&text("").replace(from, to), words);
    }
}

#[test]
fn two_disks_and_a_friend() {
    let config = parse(TWO_DISKS).unwrap();
    assert!(config.archives.is_empty());
    let [home, mail] = &config.subvolumes[..] else {
        panic!("{:?}", config.subvolumes);
    };
    let every = |of: &SubvolumeConfig| config.cycle_of(of).map(|cycle| cycle.every);
    assert_eq!(every(home), Some(Every::parse("1h").unwrap()));
    assert_eq!(every(mail), Some(Every::parse("1d").unwrap()));
    assert_eq!(home.keeps.periods.len(), 2);
    assert_eq!(home.keeps.least, retention::age("2d").ok());
    assert_eq!(
        (home.snapshots.as_ref(), &home.pinned[..]),
        (None, &["*__20260101T*".into()][..])
    );
    assert_eq!(mail.snapshots, Some("/srv/kept".into()));
    assert!(mail.keeps.keeps_all() && mail.keeps.newest == Some(3));
    assert!(mail.on_change && mail.noauto && !mail.always && !home.on_change);
    assert_eq!(config.destinations_of(home), [0, 1]);
    assert_eq!(config.destinations_of(mail), [0, 1, 2]);
    let [disk, friend, bucket] = &config.destinations[..] else {
        panic!("{:?}", config.destinations);
    };
    let calendar = disk.keeps.calendar;
    assert!(calendar.first && calendar.day_starts == 5);
    assert_eq!(calendar.week_starts, jiff::civil::Weekday::Sunday);
    assert!(disk.cycle.is_none() && friend.cycle.unwrap().at == jiff::civil::time(12, 0, 0, 0));
    assert!(friend.keeps.keeps_all() && bucket.title() == "s3://bucket/prefix/");
}

#[test]
fn what_is_wrong_with_subvolumes_and_destinations() {
    let more = |line: &str| format!("{TWO_DISKS}\n{line}");
    let refused_instead = |old: &str, new: &str, words: &str| {
        assert!(TWO_DISKS.contains(old));
        refused(&TWO_DISKS.replacen(old, new, 1), words);
    };
    refused_instead("'/srv/mail'", "'/home'", "/home, which is there already");
    refused(
        &format!("subvolumes.paths = ['/home']\n{TWO_DISKS}"),
        "/home, which is there already",
    );
    refused_instead("'/srv/mail'", "'/srv/home'", "give one a subvolume.name");
    refused_instead("['disk', 'away']", "['dusk']", "did you mean disk?");
    refused_instead("every = '1h'", "every = '1x'", "subvolume.every is wrong");
    refused_instead(
        "every = '1w'\n",
        "",
        "destination.at comes with destination.every",
    );
    refused_instead(
        "name = 'friend'",
        "name = 'disk'",
        "something else is called",
    );
    refused_instead("name = 'friend'", "name = 's3'", "something else is called");
    refused_instead("noauto", "notauto", "did you mean subvolume.noauto?");
    refused_instead("keep_hour = 5", "keep_hour = 24", "from 0 to 23");
    refused_instead("'sunday'", "'sundae'", "did you mean sunday?");
    refused_instead("'s3://bucket/prefix/'", "'/other/'", "is only for s3://");
    refused(
        &more("[[destination]]\nlocation = '/mnt/disk/snapshots'"),
        "names /mnt/disk/snapshots twice",
    );
    refused_instead(
        "retain = 3",
        "destinations = ['s3']",
        "no destination is called",
    );
    refused(
        &TWO_DISKS
            .replace(
                "[[subvolume]]\npath = '/home'",
                "[subvolume]\npath = '/home'",
            )
            .replace("[[subvolume]]\npath = '/srv", "[x]\npath = '/srv"),
        "is written [[subvolume]]",
    );
}

/// A pattern that means nothing is for whoever runs to complain of: a restore needs none.
#[test]
fn a_pattern_without_subvolumes_is_told_later() {
    let dir = std::env::temp_dir();
    let pattern = dir.join("no-*-such/@*");
    let text = format!("[[subvolume]]\npath = '{}'\n", pattern.display());
    let config = parse(&text).unwrap();
    assert!(config.subvolumes.is_empty());
    let [(unmatched, why)] = &config.unmatched[..] else {
        panic!("{:?}", config.unmatched);
    };
    assert_eq!((unmatched, why.contains("meant by it")), (&pattern, true));
}

/// What is commented out without a blank are examples: with all of them, the file has every key.
#[test]
fn the_example_has_every_key() {
    let text = include_str!("../../../../contrib/config.example.toml");
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with('#') => String::new(),
        Some(rest) => rest.trim_start().to_owned(),
        None => line.to_owned(),
    };
    let header = text.find("[global]").unwrap();
    let lines: Vec<String> = text[header..].lines().map(uncommented).collect();
    let whole = lines.join("\n");
    parse(&text[header..]).unwrap();
    let config = parse(&whole).unwrap();
    for key in keys::all() {
        let shown = config.entries.iter().any(|entry| entry.key == key);
        // Which of them have no default is for the file to show as an example.
        let name = key.rsplit('.').next().unwrap();
        assert!(
            shown || lines.iter().any(|line| line.starts_with(name)),
            "{key}"
        );
    }
}
