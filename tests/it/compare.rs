//! What arrived against its source: copies that are altered between their arrival and the comparison,
//! on this machine and at the other end of a pipe; and what the kernel's streams get wrong.

use crate::memory::Memory;
use crate::pipes::{over, pipes};
use crate::runner::Test;
use crate::subvolumes::{EVERYTHING, script, set_read_only, shown, snapshot, subvolume};
use crate::support::{binary, btrfs, buttersink, local_options, output};
use crate::tests;
use buttersink::checksum::Found;
use buttersink::error::{Kind, Result};
use buttersink::event::{Event, Summary};
use buttersink::plan::Wish;
use buttersink::proof::Depth;
use buttersink::snapshot::{Diff, Listing, Size, Sizes, State, Uuid};
use buttersink::store::file_digests::{Digest, Extent, Looking};
use buttersink::store::local::Local;
use buttersink::store::{Access, Receipt, Rejected, Sink, Store};
use buttersink::sync;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub(crate) const TESTS: &[Test] = tests![
    the_same_is_compared_and_kept,
    every_difference_is_found_and_removed,
    incrementals_are_compared_where_they_touch,
    a_far_side_answers_digests_and_removes,
    what_was_there_before_is_marked,
    streams_have_nothing_to_compare_with,
    what_the_kernel_gets_wrong_is_found,
    wrong_copies_are_found_and_replaced,
    a_replacement_that_was_interrupted_is_carried_on,
    only_what_changed_is_looked_at,
    a_far_side_replaces_a_copy,
    digests_are_of_what_is_inside,
    killed_while_comparing,
    a_connection_lost_before_comparing,
];

fn local(dir: &Path, access: Access) -> Local {
    loop {
        match Local::open(dir, access, local_options()) {
            // The thread that served the last connection is about to end.
            Err(error) if error.kind == Kind::Busy => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

/// A store whose disk changes what was received, as soon as it has arrived.
struct Altering {
    inner: Local,
    dir: PathBuf,
    change: String,
}

struct AlteringSink<'a> {
    inner: Box<dyn Sink + 'a>,
    at: PathBuf,
    change: String,
}

fn altering(dir: &Path, change: &str) -> Altering {
    Altering {
        inner: local(dir, Access::Append),
        dir: dir.to_owned(),
        change: change.to_owned(),
    }
}

fn alter(at: &Path, change: &str) {
    set_read_only(at, false);
    script(at, change);
    set_read_only(at, true);
}

impl Store for Altering {
    fn list(&mut self) -> Result<Listing> {
        self.inner.list()
    }

    fn measure(&mut self, diffs: &[Diff]) -> Result<Sizes> {
        self.inner.measure(diffs)
    }

    fn send(&mut self, diff: &Diff) -> Result<Box<dyn Read + '_>> {
        self.inner.send(diff)
    }

    fn receive(&mut self, diff: &Diff, path: &Path) -> Result<Box<dyn Sink + '_>> {
        Ok(Box::new(AlteringSink {
            at: self.dir.join(path),
            change: self.change.clone(),
            inner: self.inner.receive(diff, path)?,
        }))
    }

    fn copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        self.inner.copy(from, to)
    }

    fn delete(&mut self, path: &Path) -> Result<()> {
        self.inner.delete(path)
    }

    fn has_files(&mut self) -> Result<()> {
        self.inner.has_files()
    }

    fn digest(&mut self, digest: &Digest) -> Result<Looking<'_>> {
        self.inner.digest(digest)
    }

    fn reject(&mut self, path: &Path) -> Result<Rejected> {
        self.inner.reject(path)
    }

    fn will_compare(&mut self, compare: bool) {
        self.inner.will_compare(compare);
    }

    fn settle(&mut self, path: &Path) -> Result<()> {
        self.inner.settle(path)
    }
}

impl Write for AlteringSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Sink for AlteringSink<'_> {
    fn finish(self: Box<Self>) -> Result<Receipt> {
        let receipt = self.inner.finish()?;
        alter(&self.at, &self.change);
        Ok(receipt)
    }
}

/// Synchronises and compares; what it came to, and what failed in words.
fn compared(source: &mut dyn Store, dest: &mut dyn Store) -> (Summary, Vec<String>) {
    let (here, there) = (source.list().unwrap(), dest.list().unwrap());
    let wish = Wish {
        compare: true,
        ..Wish::default()
    };
    let mut failed = Vec::new();
    let plan = sync::make_plan(source, &here, &there, &wish, &mut |_| ()).unwrap();
    assert!(plan.compare);
    let watch = &mut |event: Event| {
        let error = match event {
            Event::Ended(ended) => ended.error,
            Event::Instead(instead) => Some(instead.error),
            _ => None,
        };
        if let Some(error) = error {
            println!("{error}");
            failed.push(error.to_string());
        }
    };
    let summary = sync::carry_out(&plan, &here, &wish, source, dest, watch).unwrap();
    (summary, failed)
}

/// A subvolume on a filesystem `a`, a directory for snapshots of it, and an empty filesystem `b`.
fn places(content: &str) -> (PathBuf, PathBuf, PathBuf) {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    let (live, snaps) = (a.join("live"), a.join("snaps"));
    subvolume(&live);
    std::fs::create_dir(&snaps).unwrap();
    script(&live, content);
    (live, snaps, b)
}

/// A few files, each of which can be altered in a way of its own; the top's times are set last.
const FILES: &str = "mkdir d e
    head -c 300000 /dev/urandom >file; echo word >d/small; ln d/small e/linked; truncate -s 40G hole
    printf x | dd of=hole bs=1 seek=20G conv=notrunc status=none
    ln -s d/small link; mknod null c 1 3; mkfifo fifo; echo a >attr; setfattr -n user.a -v 1 attr
    setfacl -m u:7:rw attr; cp /bin/true tool; setcap cap_chown+ep tool; chmod 4711 file
    touch -d '2020-02-02' d/small d e .";

fn the_same_is_compared_and_kept() {
    let (live, snaps, b) = places(EVERYTHING);
    subvolume(&live.join("nested"));
    script(&live, "touch -d '2020-02-02' .");
    snapshot(&live, &snaps.join("one"));
    script(
        &live,
        "mkdir new; mv deep new/deep; rm plain/large; echo more >>plain/small
         ln first second; touch -d '2021-02-02' .",
    );
    snapshot(&live, &snaps.join("two"));
    let said = buttersink([
        "--compare",
        &format!("{}/", snaps.display()),
        b.to_str().unwrap(),
    ]);
    assert_eq!(said.code, 0);
    assert!(said.stdout.contains("2 snapshots sent"), "{}", said.stdout);
    assert!(
        said.stdout.contains("compared with the source"),
        "{}",
        said.stdout
    );
    let json = buttersink([
        "-n",
        "--json",
        "--compare",
        &format!("{}/", snaps.display()),
        b.to_str().unwrap(),
    ]);
    assert!(json.stdout.contains(r#""compare":true"#), "{}", json.stdout);
}

fn every_difference_is_found_and_removed() {
    let (live, snaps, b) = places(FILES);
    snapshot(&live, &snaps.join("one"));
    for (change, words) in [
        (
            "printf y | dd of=file bs=1 seek=200000 conv=notrunc status=none",
            "file differs: content",
        ),
        (
            "printf y | dd of=hole bs=1 seek=30G conv=notrunc status=none",
            "hole differs: content",
        ),
        (
            "echo longer >>d/small",
            "d/small differs: content, size 5 -> 12",
        ),
        (
            "chmod 4710 file",
            "file differs: mode -rws--x--x -> -rws--x---",
        ),
        ("chmod u-s file", "file differs: mode"),
        ("chown 5 fifo", "fifo differs: owner 0:0 -> 5:0"),
        ("touch -d '2020-02-03' d/small", "d/small differs: time"),
        (
            "setfattr -n user.a -v 2 attr",
            "attr differs: xattr user.a -> user.a",
        ),
        (
            "setfattr -x user.a attr",
            "attr differs: xattr user.a -> none",
        ),
        ("setfacl -b attr", "attr differs: mode"),
        (
            "setcap -r tool",
            "tool differs: xattr security.capability -> none",
        ),
        (
            "rm e/linked; touch -d '2020-02-02' e",
            "e/linked is missing",
        ),
        (
            "ln -sfn elsewhere link; touch -h -r link link",
            "link differs: target d/small -> elsewhere",
        ),
        (
            "rm null; mknod null c 1 5",
            "null differs: device 1:3 -> 1:5",
        ),
        ("rm -r d; touch -d '2020-02-02' .", "d is missing"),
        (
            "touch d/o258-7-0; touch -d '2020-02-02' d",
            "d differs: entries",
        ),
        ("touch -d '2020-02-03' .", ". differs: time"),
        ("chmod 700 .", ". differs: mode"),
        ("rm fifo; : >fifo", "fifo differs: kind"),
    ] {
        let mut dest = altering(&b, change);
        let (summary, failed) = compared(&mut local(&snaps, Access::Read), &mut dest);
        assert_eq!(
            (summary.failed, summary.sent, summary.compared),
            (1, 0, 0),
            "{change}"
        );
        assert!(failed[0].contains(words), "{change}: {failed:?}");
        assert!(failed[0].contains("it was removed"), "{change}: {failed:?}");
        assert!(!b.join("one").exists(), "{change}");
        assert!(dest.list().unwrap().snapshots.is_empty(), "{change}");
    }
    let (summary, failed) = compared(&mut local(&snaps, Access::Read), &mut altering(&b, ":"));
    assert_eq!(
        (summary.failed, summary.sent, summary.compared),
        (0, 1, 1),
        "{failed:?}"
    );
}

fn incrementals_are_compared_where_they_touch() {
    let (live, snaps, b) = places(FILES);
    snapshot(&live, &snaps.join("one"));
    let sync = |change: &str| {
        let mut dest = altering(&b, change);
        let (summary, failed) = compared(&mut local(&snaps, Access::Read), &mut dest);
        assert_eq!(summary.failed + summary.compared, 1, "{failed:?}");
        failed.first().cloned().unwrap_or_default()
    };
    assert_eq!(sync(":"), "");
    script(
        &live,
        "echo more >>d/small; mv d moved; rm fifo; mkdir -p new/er; echo x >new/er/file
         touch -d '2021-02-02' .",
    );
    snapshot(&live, &snaps.join("two"));
    for (change, words) in [
        ("echo y >new/er/file", "new/er/file differs: content"),
        ("echo other >moved/small", "moved/small differs: content"),
        (
            "mkfifo fifo; touch -d '2021-02-02' .",
            "fifo is not in the source",
        ),
        ("chmod 700 new", "new differs: mode"),
    ] {
        let said = sync(change);
        assert!(said.contains(words), "{change}: {said}");
        assert!(!b.join("two").exists() && b.join("one").exists());
    }
    // What the stream did not touch is not looked at; its generation tells.
    let said = sync("chmod 600 attr");
    assert!(said.contains("changed since"), "{said}");
    assert!(!b.join("two").exists());
    assert_eq!(sync(":"), "");
    assert!(b.join("two").exists());
}

fn a_far_side_answers_digests_and_removes() {
    let (live, snaps, b) = places(FILES);
    snapshot(&live, &snaps.join("one"));
    let far = |change: &'static str| {
        let b = b.clone();
        let make = move || Box::new(altering(&b, change)) as Box<dyn Store>;
        over(make, Access::Append, Access::Append, pipes).unwrap()
    };
    let mut dest = far("chmod u-s file");
    let (summary, failed) = compared(&mut local(&snaps, Access::Read), &mut dest);
    drop(dest);
    assert_eq!((summary.failed, summary.compared), (1, 0));
    assert!(failed[0].contains("file differs: mode"), "{failed:?}");
    assert!(failed[0].contains("it was removed"), "{failed:?}");
    assert!(!b.join("one").exists());
    let (summary, failed) = compared(&mut local(&snaps, Access::Read), &mut far(":"));
    assert_eq!((summary.failed, summary.compared), (0, 1), "{failed:?}");
    // And the other way: the far side has the source, and grants reading only.
    let (source, home) = (snaps.clone(), btrfs("home", 256));
    let make = move || Box::new(local(&source, Access::Read)) as Box<dyn Store>;
    let pull = || over(make.clone(), Access::Read, Access::Read, pipes).unwrap();
    let (summary, failed) = compared(&mut pull(), &mut altering(&home, "chmod u-s file"));
    assert_eq!((summary.failed, summary.compared), (1, 0));
    assert!(failed[0].contains("file differs: mode"), "{failed:?}");
    let (summary, failed) = compared(&mut pull(), &mut altering(&home, ":"));
    assert_eq!((summary.failed, summary.compared), (0, 1), "{failed:?}");
}

fn what_was_there_before_is_marked() {
    let (live, snaps, b) = places(FILES);
    snapshot(&live, &snaps.join("one"));
    let (summary, _) = compared(
        &mut local(&snaps, Access::Read),
        &mut local(&b, Access::Append),
    );
    assert_eq!(summary.compared, 1);
    let mut again = local(&b, Access::Append);
    let listing = again.list().unwrap();
    assert_eq!(listing.snapshots[0].state, State::Ok);
    assert_eq!(again.reject(Path::new("one")).unwrap(), Rejected::Marked);
    for listing in [
        again.list().unwrap(),
        local(&b, Access::Read).list().unwrap(),
    ] {
        assert_eq!(listing.snapshots[0].state, State::Altered);
        assert!(!listing.snapshots[0].may_be_parent());
    }
    drop(again);
    script(&live, "echo more >>d/small");
    snapshot(&live, &snaps.join("two"));
    let plan = buttersink(["-n", &format!("{}/", snaps.display()), b.to_str().unwrap()]);
    assert!(plan.stdout.contains("two  (whole"), "{}", plan.stdout);
    let said = buttersink(["verify", b.to_str().unwrap()]);
    assert_eq!(said.code, 4);
    assert!(
        said.stdout.contains("not what its source has"),
        "{}",
        said.stdout
    );
    assert_eq!(shown(&b.join("one"), "Flags"), "readonly");
}

fn streams_have_nothing_to_compare_with() {
    let mut source = Memory::with_snapshots(2000);
    let (here, there) = (source.list().unwrap(), Listing::default());
    let wish = Wish {
        compare: true,
        ..Wish::default()
    };
    let plan = sync::make_plan(&mut source, &here, &there, &wish, &mut |_| ()).unwrap();
    let mut dest = Memory::default();
    let watch = &mut |_: Event| ();
    let error = sync::carry_out(&plan, &here, &wish, &mut source, &mut dest, watch).unwrap_err();
    assert_eq!(error.kind, Kind::Refused);
    assert!(error.said.contains("before a restore"), "{error}");
    assert!(dest.held().kept.is_empty());
}

/// Runs without mending what the kernel's streams get wrong, here or where they are received.
fn unmended(args: &[&str]) -> Output {
    let mut command = Command::new(binary("buttersink"));
    command.env("BUTTERSINK_TEST_NO_MENDING", "1").args(args);
    command.env("BUTTERSINK_RECEIVE_WITH", "btrfs");
    output(&mut command)
}

/// A new owner takes the set-user-ID bit away, and nobody says so in the stream. Whoever mends that
/// at the source must be kept from it here.
fn what_the_kernel_gets_wrong_is_found() {
    let (live, snaps, b) = places("echo tool >tool; chmod 4755 tool; echo x >other");
    snapshot(&live, &snaps.join("1"));
    script(&live, "chown 7 tool; chmod 4755 tool; echo y >other");
    snapshot(&live, &snaps.join("2"));
    let run = unmended;
    let (from, to) = (format!("{}/", snaps.display()), b.display().to_string());
    let output = run(&["--compare", &format!("{from}1"), &to]);
    assert_eq!(output.status.code(), Some(0));
    let output = run(&["--compare", &from, &to]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let words = "what arrived is not what was sent: tool differs: mode -rwsr-xr-x -> -rwxr-xr-x; it was removed; trying it whole";
    assert!(said.contains(words), "{said}");
    assert_eq!(shown(&b.join("2"), "Parent UUID"), "-");
    let said = buttersink(["verify", &to, "--against", &from, "--content"]);
    assert_eq!(said.code, 0, "{}", said.stdout);
}

/// What a run is killed over before it compared it counts as nothing until somebody has.
fn killed_while_comparing() {
    let (live, snaps, b) = places(FILES);
    script(&live, "head -c 90M /dev/urandom >large");
    snapshot(&live, &snaps.join("one"));
    let (from, to) = (format!("{}/", snaps.display()), b.display().to_string());
    let arrive = || {
        let mut command = Command::new(binary("buttersink"));
        let mut child = command
            .args(["-q", "--compare", &from, &to])
            .spawn()
            .unwrap();
        while !b.join("one").exists() {
            assert!(child.try_wait().unwrap().is_none(), "nothing arrived");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(state_of(&b), State::Uncompared);
    };
    arrive();
    // It is neither there nor a parent to who does not compare.
    script(&live, "echo more >>d/small");
    snapshot(&live, &snaps.join("two"));
    let said = buttersink([&from, &to]);
    assert_eq!(said.code, 10, "{}", said.stdout);
    assert!(said.stderr.contains("was not compared"), "{}", said.stderr);
    assert_eq!(shown(&b.join("two"), "Parent UUID"), "-");
    script(&b, "btrfs -q subvolume delete two");
    let said = buttersink(["verify", &to]);
    assert_eq!(said.code, 1, "{}", said.stdout);
    let said = buttersink(["-n", "--compare", &from, &to]);
    assert_eq!(said.code, 0, "{}", said.stdout);
    assert_eq!(state_of(&b), State::Uncompared);
    // Who compares does that first.
    let said = buttersink(["--compare", &from, &to]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert_eq!(state_of(&b), State::Ok);
    assert_eq!(
        shown(&b.join("two"), "Parent UUID"),
        shown(&b.join("one"), "UUID")
    );
    // So does who verifies.
    script(
        &b,
        "btrfs -q subvolume delete one two; btrfs subvolume sync .",
    );
    script(&snaps, "btrfs -q subvolume delete two");
    arrive();
    let said = buttersink(["verify", &to, "--against", &from, "--content"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert_eq!(state_of(&b), State::Ok);
}

fn state_of(b: &Path) -> State {
    let listing = local(b, Access::Read).list().unwrap();
    let one = listing
        .snapshots
        .iter()
        .find(|s| s.path == Path::new("one"));
    one.unwrap().state
}

/// Brings `one`, and is lost before it compares it.
fn lost(source: &mut dyn Store, dest: &mut dyn Store) {
    let one = source.list().unwrap().snapshots[0].clone();
    dest.list().unwrap();
    dest.will_compare(true);
    let diff = Diff::new(one.id(), None, Size::Unknown);
    sync::transfer(source, dest, &diff, &one.path, &mut |_| ()).unwrap();
}

fn settled(source: &mut dyn Store, dest: &mut dyn Store) -> (Listing, usize) {
    let (here, there) = (source.list().unwrap(), dest.list().unwrap());
    let mut unsettled = 0;
    let watch = &mut |event: Event| unsettled += usize::from(matches!(event, Event::Unsettled(..)));
    let there = sync::settle(&here, there, source, dest, watch).unwrap();
    (there, unsettled)
}

/// The far side knows, too; and what is wrong goes, whoever compares it.
fn a_connection_lost_before_comparing() {
    let (live, snaps, b) = places(FILES);
    snapshot(&live, &snaps.join("one"));
    let far = || {
        let b = b.clone();
        let make = move || Box::new(local(&b, Access::Append)) as Box<dyn Store>;
        over(make, Access::Append, Access::Append, pipes).unwrap()
    };
    let mut source = local(&snaps, Access::Read);
    lost(&mut source, &mut far());
    assert_eq!(state_of(&b), State::Uncompared);
    let (there, unsettled) = settled(&mut source, &mut far());
    assert_eq!((there.snapshots[0].state, unsettled), (State::Ok, 0));
    assert_eq!(state_of(&b), State::Ok);
    script(&b, "btrfs -q subvolume delete one");
    lost(&mut source, &mut altering(&b, "chmod u-s file"));
    // Altered by its seal, and so known to be wrong without comparing.
    assert_eq!(state_of(&b), State::Altered);
    // As if it had been lost before it was sealed.
    script(&b, "sed -i '/\"pending\"/!{/\"seal\"/d}' .buttersink/seals");
    assert_eq!(state_of(&b), State::Uncompared);
    let (there, unsettled) = settled(&mut source, &mut far());
    assert_eq!((there.snapshots.len(), unsettled), (0, 1));
    assert!(!b.join("one").exists());
    lost(&mut source, &mut far());
    script(
        &snaps,
        "btrfs property set one ro false; echo y >one/file; btrfs property set one ro true",
    );
    let (there, unsettled) = settled(&mut source, &mut far());
    assert_eq!(
        (there.snapshots.len(), unsettled),
        (1, 0),
        "the source was altered"
    );
}

/// Three snapshots of which the second arrives without a mode bit, and the third is made of that.
fn wrong_chain() -> (String, PathBuf) {
    let (live, snaps, b) = places("echo tool >tool; chmod 4755 tool; echo x >other");
    snapshot(&live, &snaps.join("1"));
    script(&live, "chown 7 tool; chmod 4755 tool; echo y >other");
    snapshot(&live, &snaps.join("2"));
    script(&live, "echo z >other; head -c 200000 /dev/urandom >more");
    snapshot(&live, &snaps.join("3"));
    let (from, to) = (format!("{}/", snaps.display()), b.display().to_string());
    // One after the other, so that each is made from the one before.
    for name in ["1", "2", "3"] {
        let said = unmended(&[&format!("{from}{name}"), &to]);
        assert_eq!(said.status.code(), Some(0));
    }
    (from, b)
}

fn wrong_copies_are_found_and_replaced() {
    let (from, b) = wrong_chain();
    let to = b.display().to_string();
    let verify = || buttersink(["verify", &to, "--against", &from, "--content"]);
    let said = verify();
    assert_eq!(said.code, 4);
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert!(lines[1].starts_with("different     2: "), "{lines:?}");
    assert!(
        lines[1].contains("tool: mode") && lines[1].ends_with("; built on it: 3"),
        "{lines:?}"
    );
    assert!(lines[2].starts_with("different     3: "), "{lines:?}");
    let before = shown(&b.join("2"), "UUID");
    for (args, code, words) in [
        (
            &["--resend", "9"][..],
            2,
            "no received snapshot of that name",
        ),
        (&["--resend", "2"], 1, "3 was built on it"),
        (
            &["-d", "--resend", "2", "--resend", "3"],
            2,
            "'sync --resend' has no option -d",
        ),
    ] {
        let said = buttersink([args, &[&from, &to]].concat());
        assert_eq!(said.code, code, "{args:?}");
        assert!(said.stderr.contains(words), "{args:?}: {}", said.stderr);
    }
    let resend = ["--resend", "3", "--resend", "2"];
    let plan = buttersink([&["-n"], &resend[..], &[&from, &to]].concat());
    assert_eq!(
        (plan.code, shown(&b.join("2"), "UUID")),
        (0, before.clone())
    );
    assert!(plan.stdout.contains("2 to send"), "{}", plan.stdout);
    let said = unmended(&[&resend[..], &[&from, &to]].concat());
    assert_eq!(said.status.code(), Some(0));
    assert_ne!(shown(&b.join("2"), "UUID"), before);
    let said = verify();
    assert_eq!(said.code, 0, "{}", said.stdout);
    let names: Vec<_> = std::fs::read_dir(&b)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(
        names.len(),
        4,
        "three snapshots and the state directory: {names:?}"
    );
    // Nothing is left to do, and what comes next builds on the new ones.
    let said = buttersink(["-n", &from, &to]);
    assert!(said.stdout.contains("nothing to do"), "{}", said.stdout);
}

/// Sends snapshot 2 again beside its copy, and no more.
fn resent(from: &str, b: &Path) {
    let mut source = local(Path::new(from), Access::Read);
    let mut dest = local(b, Access::Write);
    let here = source.list().unwrap();
    dest.list().unwrap();
    let two = here.snapshots.iter().find(|s| s.path == Path::new("2"));
    let diff = Diff::new(two.unwrap().id(), None, Size::Unknown);
    dest.will_compare(true);
    let to = Path::new("2.resent");
    sync::transfer(&mut source, &mut dest, &diff, to, &mut |_| ()).unwrap();
}

fn a_replacement_that_was_interrupted_is_carried_on() {
    let (from, b) = wrong_chain();
    let to = b.display().to_string();
    let resend = |code: i32| {
        let said = buttersink(["--resend", "2", "--resend", "3", &from, &to]);
        assert_eq!(said.code, code, "{}", said.stderr);
    };
    let id = |name: &str| shown(&b.join(name), "Subvolume ID");
    resent(&from, &b);
    let arrived = id("2.resent");
    resend(0);
    assert_eq!(id("2"), arrived);
    // Neither is what somebody changed, or made, taken for it.
    resent(&from, &b);
    script(
        &b,
        "btrfs property set -f 2.resent ro false; chmod 755 2.resent/tool; btrfs property set 2.resent ro true",
    );
    resend(1);
    assert_eq!(
        (id("2"), b.join("2.resent").exists()),
        (arrived.clone(), true)
    );
    script(&b, "btrfs -q subvolume delete 2.resent");
    resend(0);
    assert_ne!(id("2"), arrived);
    // The default subvolume cannot be removed: the names are exchanged, and the old copy stays.
    let old = id("2");
    script(&b, "btrfs subvolume set-default 2");
    resend(1);
    assert_eq!(id("2.resent"), old);
    script(&b, "btrfs subvolume set-default 5 .");
    let listed = buttersink(["list", &to]);
    assert!(listed.stdout.contains("partial"), "{}", listed.stdout);
    resend(0);
    assert!(!b.join("2.resent").exists());
    let said = buttersink(["verify", &to, "--against", &from, "--content"]);
    assert_eq!(said.code, 0, "{}", said.stdout);
}

fn only_what_changed_is_looked_at() {
    let (from, b) = wrong_chain();
    let to = b.display().to_string();
    let said = buttersink(["verify", &to, "--against", &from, "--content", "--changed"]);
    assert_eq!(said.code, 4);
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert!(!lines[0].starts_with("different"), "{lines:?}");
    assert!(lines[1].starts_with("different     2: "), "{lines:?}");
    assert!(
        !lines[2].starts_with("different"),
        "what it took over is not its own: {lines:?}"
    );
    assert!(
        lines[2].contains("where it differs from its parent"),
        "{lines:?}"
    );
    let said = buttersink(["verify", &to, "--changed"]);
    assert_eq!(said.code, 2);
}

fn a_far_side_replaces_a_copy() {
    let (from, b) = wrong_chain();
    let far = {
        let b = b.clone();
        move |access| {
            let b = b.clone();
            let make = move || Box::new(local(&b, access)) as Box<dyn Store>;
            over(make, access, access, pipes).unwrap()
        }
    };
    let mut source = local(Path::new(&from), Access::Read);
    let here = source.list().unwrap();
    let names = ["2", "3"].map(PathBuf::from);
    let mut dest = far(Access::Append);
    let there = dest.list().unwrap();
    let plan = sync::resend::plan(&names, &here, &there).unwrap();
    let resend = |dest: &mut dyn Store| {
        let mut source = local(Path::new(&from), Access::Read);
        source.list().unwrap();
        dest.list().unwrap();
        sync::resend::carry_out(&plan, &mut source, dest, &mut |_| ()).unwrap()
    };
    // Who may only add cannot take away what is there.
    assert_eq!(resend(&mut dest).failed, 2);
    let left = dest.list().unwrap().snapshots;
    let left: Vec<_> = left.iter().map(|s| s.path.to_str().unwrap()).collect();
    assert_eq!(left, ["1", "2", "3"]);
    drop(dest);
    let summary = resend(&mut far(Access::Write));
    assert_eq!((summary.failed, summary.sent, summary.compared), (0, 2, 2));
    let mut store = far(Access::Read);
    let mut report = buttersink::verify::alone(&mut store, Depth::Quick, &mut |_| ()).unwrap();
    let quiet = &mut |_: Event| ();
    buttersink::verify::files(&mut report, &mut store, &here, &mut source, false, quiet).unwrap();
    report.verdict().unwrap();
}

/// Who may ask for digests learns nothing of what lies outside of the snapshots that it may read.
fn digests_are_of_what_is_inside() {
    let (live, snaps, _) =
        places("mkdir d; echo x >d/file; ln -s / root; ln -s d inner; ln -s ../.. up");
    snapshot(&live, &snaps.join("one"));
    std::fs::write(snaps.join("secret"), "x").unwrap();
    let snaps_there = snaps.clone();
    let make = move || Box::new(local(&snaps_there, Access::Read)) as Box<dyn Store>;
    let mut far = over(make, Access::Read, Access::Read, pipes).unwrap();
    let one = far.list().unwrap().snapshots[0].clone();
    let mut digest = |path: Option<&str>, extent: Extent| {
        let digest = Digest {
            id: one.id(),
            path: path.map(PathBuf::from),
            extent,
            from_disk: false,
        };
        far.digest(&digest).and_then(|looking| looking())
    };
    let these = |paths: &[&str]| Extent::These(paths.iter().map(PathBuf::from).collect());
    let through = [
        "root/etc/passwd",
        "root/etc",
        "inner/file",
        "up/secret",
        "d/file/x",
        "none",
    ];
    let page = digest(Some("one"), these(&through)).unwrap();
    for seen in page.seen {
        assert_eq!(seen.found, Found::Nothing, "{:?}", seen.path);
    }
    let page = digest(None, these(&["", "root", "d/file"])).unwrap();
    for seen in page.seen {
        assert!(matches!(seen.found, Found::Entry(_)), "{:?}", seen.path);
    }
    for outside in ["../secret", "/etc/passwd", "d/../../secret"] {
        assert_eq!(
            digest(Some("one"), these(&[outside])).unwrap_err().kind,
            Kind::Refused
        );
    }
    for other in ["secret", "two", "one/d", "."] {
        digest(Some(other), these(&["file"])).unwrap_err();
    }
    digest(None, Extent::Next).unwrap_err();
    digest(None, Extent::First(Some(Uuid([9; 16])))).unwrap_err();
}
