//! Drills: what can be received is said of what was received, the link that fails is named, and
//! nothing of a drill stays.

use crate::bucket::{Bucket, command, said};
use crate::restore::{COLD, PLAIN, Scene};
use crate::runner::Test;
use crate::servers::shared;
use crate::stores::two_snapshots;
use crate::streams::command as of_stream;
use crate::subvolumes::{history, script, subvolume};
use crate::support::*;
use crate::tests;
use std::path::Path;

pub(crate) const TESTS: &[Test] = tests![
    what_cannot_be_received_is_named,
    what_fails_in_a_rehearsal_is_named,
    what_an_older_release_stored,
    samples_are_drawn_and_named,
    archives_are_drilled,
    what_was_not_read_is_not_blamed,
    a_full_disk_is_not_blamed_on_streams,
    nothing_stays_of_a_drill,
];

/// Three snapshots in a bucket, each built on the one before, and a filesystem for drills.
struct Stored<'a> {
    bucket: Bucket<'a>,
    scratch: std::path::PathBuf,
}

impl<'a> Stored<'a> {
    fn new(server: &'a crate::servers::Server) -> Stored<'a> {
        let bucket = Bucket::new(server);
        let from = btrfs("from", 512);
        history(&from, 3);
        for name in ["1", "2", "3"] {
            let one = from.join("snaps").join(name);
            bucket.fine(&[one.to_str().unwrap(), &bucket.url("host/")]);
        }
        let stored = Stored {
            bucket,
            scratch: btrfs("scratch", 512),
        };
        for name in ["1", "2", "3"] {
            assert_eq!(stored.keys(name).len(), 1);
        }
        stored
    }

    /// The keys of the diffs that make a snapshot.
    fn keys(&self, name: &str) -> Vec<String> {
        self.bucket.keys(&format!("host/{name}/"))
    }

    /// What is not received is rehearsed.
    fn drill(&self, received: bool, options: &[&str]) -> Said {
        let place = self.bucket.url("host/");
        let scratch = ["--scratch", self.scratch.to_str().unwrap()];
        let scratch = if received { &scratch[..] } else { &[] };
        let words = ["verify", "--drill", &place];
        let said = self.bucket.run(&[&words[..], scratch, options].concat());
        assert_eq!(left_in(&self.scratch), "");
        said
    }

    /// The stored stream gets a command that no receiver can carry out, and is whole otherwise.
    fn spoil(&self, name: &str) -> Vec<u8> {
        let key = self.keys(name).remove(0);
        let whole = self.bucket.get(&key);
        let end = of_stream(21, &[]);
        let body = whole.strip_suffix(&end[..]).unwrap();
        let rename = of_stream(9, &[(15, b"not/there".to_vec()), (16, b"x".to_vec())]);
        self.bucket.put(&key, &[body, &rename, &end].concat());
        let hints = format!("host/{name}.bs");
        self.bucket
            .server
            .plain("DELETE", &self.bucket.name, &hints, b"");
        whole
    }
}

fn left_in(scratch: &Path) -> String {
    script(scratch, "ls -A -I .buttersink; btrfs subvolume list .")
}

#[track_caller]
fn has(said: &Said, words: &[&str]) {
    for word in words {
        assert!(said.stdout.contains(word), "no '{word}' in {}", said.stdout);
    }
}

fn what_cannot_be_received_is_named() {
    one_that_cannot(true);
}

fn what_fails_in_a_rehearsal_is_named() {
    one_that_cannot(false);
}

fn one_that_cannot(received: bool) {
    let server = shared("seaweedfs");
    let stored = Stored::new(&server);
    let good = stored.drill(received, &[]);
    assert_eq!(good.code, 0);
    has(
        &good,
        &[
            "intact, applies  1: ",
            if received {
                "received in "
            } else {
                "rehearsed"
            },
            "with the 2 that it builds on",
            "3 snapshots: 3 intact, 3 applies, 0 unverifiable, 0 different",
        ],
    );
    // Every checksum of the stream is right, and nobody can receive it.
    let second = stored.spoil("2");
    let place = stored.bucket.url("host/");
    let read = stored.bucket.run(&["verify", "--download", &place]);
    has(&read, &["3 snapshots: 3 intact, 0 unverifiable"]);
    let bad = stored.drill(received, &[]);
    assert_eq!(bad.code, 4);
    has(
        &bad,
        &[
            "applies  1: ",
            "different     2: it cannot be received: ",
            "not/there",
            "different     3: it builds on 2, which cannot be received: ",
            "1 applies, 0 unverifiable, 2 different",
        ],
    );
    let (key, last) = (stored.keys("2").remove(0), stored.spoil("3"));
    stored.bucket.put(&key, &second);
    let bad = stored.drill(received, &[]);
    has(
        &bad,
        &["2 applies", "1 different", "different     3: it cannot"],
    );
    // A stream that is damaged on its way is no better.
    let key = stored.keys("3").remove(0);
    stored.bucket.put(&key, &last[..last.len() - 20]);
    let cut = stored.drill(received, &[]);
    assert_eq!(cut.code, 4);
    has(&cut, &["2 applies", "1 different"]);
    // Words that do not go together.
    for wrong in [
        &["verify", "--scratch", "/tmp", &place][..],
        &["verify", "--drill", "/tmp"],
        &["verify", "--sample", "1", &place],
        &[
            "verify",
            "--drill",
            "--scratch",
            "/tmp",
            "--sample",
            "0",
            &place,
        ],
        &["verify", "--drill", "--scratch", "/tmp", "/tmp"],
    ] {
        assert_eq!(stored.bucket.run(wrong).code, 2, "{wrong:?}");
    }
}

fn samples_are_drawn_and_named() {
    let server = shared("seaweedfs");
    let stored = Stored::new(&server);
    let one = stored.drill(false, &["--sample", "1"]);
    assert_eq!(one.code, 0);
    let drawn = one
        .stderr
        .lines()
        .find_map(|line| line.split_once("drawn for the drill: "));
    let drawn = drawn.unwrap().1;
    // What it builds on was received as well, and nothing else.
    let tried = drawn.parse::<usize>().unwrap();
    has(
        &one,
        &[&format!("3 intact, {tried} applies, 0 unverifiable")],
    );
    let all = stored.drill(true, &["--sample", "7"]);
    has(&all, &["3 intact, 3 applies, 0 unverifiable"]);
}

fn archives_are_drilled() {
    let scene = Scene::new(shared("seaweedfs"), &PLAIN);
    let scratch = scene.to.join("received");
    let place = format!("s3://{}/", scene.bucket);
    let config = scene.config.to_str().unwrap();
    let words = ["verify", "--drill", "--scratch", scratch.to_str().unwrap()];
    for place in [&["--config", config][..], &[&place]] {
        let good = said(&mut command(
            &scene.server.endpoint,
            &[&words[..], place].concat(),
        ));
        assert_eq!(good.code, 0);
        has(&good, &["3 intact, 3 applies, 0 unverifiable, 0 different"]);
        assert_eq!(script(&scratch, "ls -A -I .buttersink"), "");
    }
}

fn what_was_not_read_is_not_blamed() {
    let scene = Scene::new(shared("ministack"), &COLD);
    let scratch = scene.to.join("received");
    let place = format!("s3://{}/", scene.bucket);
    let words = [
        "verify",
        "--drill",
        "--scratch",
        scratch.to_str().unwrap(),
        &place,
    ];
    let frozen = said(&mut command(&scene.server.endpoint, &words));
    assert_eq!(frozen.code, 1);
    has(&frozen, &["3 unverifiable, 0 different", "not tried: "]);
}

fn a_full_disk_is_not_blamed_on_streams() {
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let snaps = two_snapshots(&btrfs("from", 512), 60);
    let place = bucket.url("host/");
    bucket.fine(&[snaps.join("").to_str().unwrap(), &place]);
    let scratch = btrfs("scratch", 512);
    let fill = "dd if=/dev/zero of=full bs=1M status=none || true; sync -f .";
    script(
        &scratch,
        &format!("{fill}; truncate -s -30M full; sync -f ."),
    );
    let place_of = ["--scratch", scratch.to_str().unwrap(), &place];
    let full = bucket.run(&[&["verify", "--drill"], &place_of[..]].concat());
    assert_eq!(full.code, 1);
    has(
        &full,
        &["2 unverifiable, 0 different", "not tried: ", "o space left"],
    );
    assert_eq!(script(&scratch, "ls -A -I .buttersink"), "full\n");
}

/// Streams as the kernel makes them: one that nobody can receive, one that makes a wrong tree, and one
/// that is right.
fn what_an_older_release_stored() {
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let from = btrfs("from", 512);
    script(&from, OLD);
    let stored = Stored {
        bucket,
        scratch: btrfs("scratch", 512),
    };
    let place = stored.bucket.url("host/");
    let upload = |name: &str, older: bool| {
        let one = from.join("snaps").join(name);
        let mut run = stored.bucket.command(&[one.to_str().unwrap(), &place]);
        if older {
            run.env("BUTTERSINK_TEST_NO_MENDING", "1");
        }
        assert_eq!(said(&mut run).code, 0);
    };
    for name in ["1", "2", "3", "4"] {
        upload(name, true);
    }
    let against = [
        "verify",
        "--against",
        from.join("snaps").to_str().unwrap(),
        &place,
    ]
    .map(str::to_owned);
    let against = || stored.bucket.run(&against.each_ref().map(String::as_str));
    let old = against();
    has(
        &old,
        &[
            "intact, regenerated  1: ",
            "intact, regenerated  2: ",
            "different     3: stored as the kernel sends it, and not mended: 1 lost mode (prog); send it again",
            "different     4: stored as the kernel sends it, and not mended: ",
            "large xattr",
        ],
    );
    let rehearsed = stored.drill(false, &[]);
    has(
        &rehearsed,
        &[
            "intact, applies  3: ",
            "rehearsed, with the 2 that it builds on",
            "different     4: it cannot be received: ",
            "does not fit beside the old one",
        ],
    );
    // Sent again, they are mended, and so recorded.
    for name in ["4", "3"] {
        for key in stored.bucket.keys(&format!("host/{name}")) {
            stored
                .bucket
                .server
                .plain("DELETE", &stored.bucket.name, &key, b"");
        }
    }
    upload("3", false);
    upload("4", false);
    let all = "4 snapshots: 4 intact, 4 regenerated, 0 unverifiable, 0 different";
    has(&against(), &[all]);
    let all = "4 snapshots: 4 intact, 4 applies, 0 unverifiable, 0 different";
    has(&stored.drill(false, &[]), &[all]);
    has(&stored.drill(true, &[]), &[all]);
}

/// Files change, then the owner of one that sets its user, then attributes that grow.
const OLD: &str = "
btrfs -q subvolume create live; mkdir snaps
head -c 3000000 /dev/urandom >live/ballast
value() { head -c $1 /dev/urandom | base64 -w0 | head -c $1; }
for i in 1 2 3 4 5 6 7 8 9; do echo x >live/f$i; setfattr -n user.big -v $(value 5000) live/f$i; done
echo x >live/prog; chmod 4755 live/prog
snap() { btrfs -q subvolume snapshot -r live snaps/$1; }
snap 1; echo more >>live/f1; snap 2
chown 1:2 live/prog; chmod 4755 live/prog; snap 3
for i in 1 2 3 4 5 6 7 8 9; do
    setfattr -x user.big live/f$i; setfattr -n user.big -v $(value 12000) live/f$i
done
snap 4";

/// Not after it was killed either; and what only looks like it stays.
fn nothing_stays_of_a_drill() {
    let server = shared("seaweedfs");
    let stored = Stored::new(&server);
    let scratch = &stored.scratch;
    let place = stored.bucket.url("host/");
    let slow = |signal: &str| {
        let words = [
            "verify",
            "--drill",
            "--scratch",
            scratch.to_str().unwrap(),
            &place,
        ];
        let words = [&words[..], &["--bwlimit", "20K", "-qq"]].concat();
        let mut child = stored.bucket.command(&words).spawn().unwrap();
        // It is at work as long as its subvolume is there, which is seconds at this rate.
        while !left_in(scratch).contains(".buttersink-drill-") {
            assert!(child.try_wait().unwrap().is_none(), "it ended before");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let busy = stored.bucket.run(&[
            "verify",
            "--drill",
            "--scratch",
            scratch.to_str().unwrap(),
            &place,
        ]);
        assert_eq!(busy.code, 3);
        script(scratch, &format!("kill -{signal} {}", child.id()));
        child.wait().unwrap().code()
    };
    assert_eq!(slow("TERM"), Some(130));
    assert_eq!(left_in(scratch), "");
    assert_eq!(slow("KILL"), None);
    assert!(left_in(scratch).contains(".buttersink-drill-"));
    let stranger = scratch.join(".buttersink-drill-0123456789abcdef");
    subvolume(&stranger);
    let place_of = [scratch.to_str().unwrap(), &place];
    let next = stored
        .bucket
        .run(&["verify", "--drill", "--scratch", place_of[0], place_of[1]]);
    assert_eq!(next.code, 0);
    assert_eq!(
        script(scratch, "ls -A -I .buttersink"),
        ".buttersink-drill-0123456789abcdef\n"
    );
    // A record that somebody else wrote is not followed.
    script(
        scratch,
        "echo .buttersink-drill-0123456789abcdef >.buttersink-drill; chown 1000 .buttersink-drill",
    );
    let refused = stored
        .bucket
        .run(&["verify", "--drill", "--scratch", place_of[0], place_of[1]]);
    assert!(refused.code == 1 && refused.stderr.contains("not ours alone"));
    assert!(stranger.exists());
}
