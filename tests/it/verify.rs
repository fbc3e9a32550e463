//! The matrix of verification: whatever is damaged is found, and what is whole passes; on
//! filesystems, by ssh's protocol, and in buckets of two servers.

use crate::pipes::{over, pipes};
use crate::runner::Test;
use crate::s3::{MIB, open, options, put};
use crate::servers::{KEY, SECRET, Server};
use crate::stores::{delete, two_snapshots};
use crate::streams::{diff, stream, uuid};
use crate::subvolumes::{script, set_read_only, snapshot, subvolume, unfinished};
use crate::support::*;
use crate::tree::assert_same;
use buttersink::proof::{Depth, Seen};
use buttersink::store::bucket::DiffStore;
use buttersink::store::local::Local;
use buttersink::store::{Access, Store};
use buttersink::verify::{self, Verification};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;

pub(crate) const TESTS: &[Test] = crate::tests![
    filesystems,
    by_the_protocol,
    what_is_deduplicated_is_sealed_anew,
    flags_that_chattr_sets_are_named,
];
pub(crate) const BUCKETS: &[Test] =
    crate::on_both!["verify::"; objects, split_objects, against_a_filesystem];

/// What deduplicators do: the generation of a read-only snapshot moves, and no byte changes.
fn what_is_deduplicated_is_sealed_anew() {
    let snaps = two_snapshots(&btrfs("source", 512), 3);
    let copies = btrfs("dest", 512).join("copies");
    fs::create_dir(&copies).unwrap();
    let (here, there) = (snaps.as_os_str(), copies.as_os_str());
    let content = [there, "--against".as_ref(), here, "--content".as_ref()];
    let sync = || buttersink([snaps.join(""), copies.join("")]);
    assert_eq!(sync().code, 0);
    let file = "cp -a first/2 ../spare; dd if=../spare of=first/2 conv=notrunc status=none";
    let quietly = format!("{file}; touch -r ../spare first/2; rm ../spare; sync -f .");
    set_read_only(&copies.join("next"), false);
    script(&copies.join("next"), &quietly);
    set_read_only(&copies.join("next"), true);
    ends(4, &[there], &["1 sealed, 0 unverifiable, 1 different"]);
    ends(
        0,
        &content,
        &["2 same, 0 unver", "as where blocks are deduplicated"],
    );
    ends(0, &[there], &["2 sealed"]);
    snapshot(&snaps.join("../work"), &snaps.join("third"));
    let said = sync();
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(
        said.stdout.contains("sent third (from next"),
        "{}",
        said.stdout
    );
    assert_same(&snaps.join("third"), &copies.join("third"));
}

/// `buttersink verify ARGS…` ends so, and says these things.
#[track_caller]
fn ends(code: i32, args: &[&OsStr], words: &[&str]) {
    let verify = [OsStr::new("verify")];
    let said = buttersink(verify.iter().chain(args));
    assert_eq!(said.code, code, "{}{}", said.stdout, said.stderr);
    for word in words {
        assert!(said.stdout.contains(word), "no '{word}' in {}", said.stdout);
    }
}

/// They are in no stream: the copy is the same, and its line says what it lacks.
fn flags_that_chattr_sets_are_named() {
    let a = btrfs("a", 256);
    subvolume(&a.join("work"));
    let flags = "mkdir vm snaps; chattr +C vm; echo >vm/disk; echo >conf; echo >log; echo >other
        chattr +i conf; chattr +a log; chattr +dA other; rmdir snaps";
    script(&a.join("work"), flags);
    fs::create_dir(a.join("snaps")).unwrap();
    snapshot(&a.join("work"), &a.join("snaps/1"));
    script(&a.join("work"), "chattr -i conf; chattr -a log");
    let b = btrfs("b", 256);
    assert_eq!(buttersink([a.join("snaps/"), b.join("")]).code, 0);
    let snaps = a.join("snaps");
    let against = [
        "--content".as_ref(),
        "--against".as_ref(),
        snaps.as_os_str(),
    ];
    let words = [&[b.as_os_str()], &against[..]].concat();
    let said =
        "that do not travel, are not the same of 5 files, such as conf (i), log (a), other (dA)";
    ends(0, &words, &["sealed, same", "byte by byte the same", said]);
}

fn filesystems() {
    let snaps = two_snapshots(&btrfs("source", 512), 3);
    let copies = btrfs("dest", 512).join("copies");
    fs::create_dir(&copies).unwrap();
    let (here, there) = (snaps.as_os_str(), copies.as_os_str());
    let against: [&OsStr; 3] = [there, "--against".as_ref(), here];
    let content = [&against[..], &["--content".as_ref()]].concat();
    // Where nothing is, nothing is verified.
    ends(1, &[there], &["0 snapshots"]);
    assert_eq!(buttersink([snaps.join(""), copies.join("")]).code, 0);
    ends(0, &[here], &["2 sealed", "unaltered since it was made"]);
    ends(0, &[there], &["2 sealed", "its seal is right"]);
    ends(
        0,
        &against,
        &["2 sealed, 0 unver", "same UUID and generation"],
    );
    ends(
        0,
        &content,
        &["2 sealed, 2 same, 0", "byte by byte the same"],
    );
    ends(2, &[there, "--download".as_ref()], &[]);
    json(there);
    // A seal that is gone: nothing is known, until the bytes are compared.
    let seals = copies.join("../.buttersink/seals");
    let kept = fs::read_to_string(&seals).unwrap();
    fs::write(&seals, kept.lines().next().unwrap().to_owned() + "\n").unwrap();
    ends(10, &[there], &["1 sealed, 1 unverifiable", "no seal"]);
    ends(10, &against, &["1 unverifiable"]);
    ends(0, &content, &["1 sealed, 2 same, 0 unverifiable"]);
    // A copy is always like itself, which says nothing.
    let itself = [there, "--against".as_ref(), there, "--content".as_ref()];
    ends(1, &itself, &["2 unverifiable", "no copy of it"]);
    // A forged one is as bad as an altered snapshot.
    let (_, uuid) = kept.split_once("\"uuid\":\"").unwrap();
    let uuid = &uuid[..36];
    fs::write(&seals, kept.clone() + &format!("{uuid} {uuid} 1 1\n")).unwrap();
    ends(4, &[there], &["1 different", "seal"]);
    fs::write(&seals, &kept).unwrap();
    // One side lacks one.
    snapshot(&snaps.join("../work"), &snaps.join("third"));
    ends(4, &against, &["different     third", "2 sealed"]);
    ends(4, &[here, "--against".as_ref(), there], &["missing in"]);
    delete(&snaps.join("third"));
    // A copy that is altered, though its time and size are not.
    let file = "cp -a first/2 ../spare; printf x | dd of=first/2 conv=notrunc seek=9 status=none";
    let quietly = format!("{file}; touch -r ../spare first/2; rm ../spare; sync -f .");
    set_read_only(&copies.join("base"), false);
    script(&copies.join("base"), &quietly);
    ends(10, &[there], &["unverifiable  base: read-write although"]);
    set_read_only(&copies.join("base"), true);
    ends(
        4,
        &[there],
        &["different     base: altered since it was received"],
    );
    ends(4, &content, &["different     base", "first/2: content"]);
    ends(4, &[here, "--against".as_ref(), there], &["was altered"]);
    // An original that is altered.
    set_read_only(&snaps.join("next"), false);
    script(&snaps.join("next"), "echo x >new; sync -f .");
    set_read_only(&snaps.join("next"), true);
    ends(
        4,
        &[here],
        &["different     next: altered since it was made"],
    );
    leftovers(&copies);
    tops();
    on_a_terminal(&snaps);
    hidden(&snaps);
}

/// The attributes of the top directory count too.
fn tops() {
    for name in ["top", "copy"] {
        fs::create_dir(here().join(name)).unwrap();
    }
    let compare = || verify::copies(&here().join("top"), &here().join("copy"), None).unwrap();
    assert_eq!(compare().rank(), 0);
    script(&here(), "setfattr -n user.mark -v 1 top");
    assert_eq!(compare().rank(), 2);
    script(&here(), "setfattr -n user.mark -v 1 copy");
    assert_eq!(compare().rank(), 0);
}

/// What is drawn on a terminal does not go on in the next line, however narrow that is.
fn on_a_terminal(snaps: &Path) {
    let (program, snaps) = (binary("buttersink"), snaps.display());
    let command = format!(
        "{} verify --content --against {snaps} {snaps}",
        program.display()
    );
    let shown = output(Command::new("script").args(["-qec", &command, "/dev/null"])).stdout;
    let shown = String::from_utf8_lossy(&shown);
    let drawn = "\r\u{1b}[K\u{1b}[?7lverifying base\u{1b}[?7h";
    assert!(shown.contains(drawn), "{shown:?}");
}

/// Who does not see all has not verified all.
fn hidden(snaps: &Path) {
    let dir = snaps.join("../some");
    script(
        snaps,
        "btrfs -q subvolume create ../some; mkdir ../some/closed",
    );
    let code = || {
        let mut verify = Command::new("setpriv");
        verify.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        verify.arg(binary("buttersink")).arg("verify").arg(&dir);
        output(&mut verify).status.code()
    };
    snapshot(&snaps.join("../work"), &dir.join("open"));
    assert_eq!(code(), Some(0));
    snapshot(&snaps.join("../work"), &dir.join("closed/a"));
    script(&dir, "chmod 700 closed");
    assert_eq!(code(), Some(1));
}

/// What is no snapshot is shown, and not called good.
fn leftovers(copies: &Path) {
    unfinished(copies, "x.part");
    ends(4, &[copies.as_ref()], &["unverifiable  x.part: left by"]);
    set_read_only(&copies.join("next"), false);
    ends(
        4,
        &[copies.as_ref()],
        &["unverifiable  next: read-write although"],
    );
}

/// A line for each snapshot and one for all.
fn json(place: &OsStr) {
    let said = buttersink([OsStr::new("verify"), "--json".as_ref(), place]);
    let line = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let lines: Vec<_> = said.stdout.lines().map(line).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        (&lines[0]["event"], &lines[0]["verdict"]),
        (&"finding".into(), &"sealed".into())
    );
    assert_eq!(
        (&lines[2]["event"], &lines[2]["sealed"]),
        (&"summary".into(), &2.into())
    );
    let counts = [
        "same",
        "intact",
        "applies",
        "regenerated",
        "unverifiable",
        "different",
    ];
    assert!(counts.iter().all(|word| lines[2][word] == 0));
    let quiet = buttersink([OsStr::new("verify"), "-qq".as_ref(), place]);
    assert_eq!(
        (quiet.code, &quiet.stdout[..], &quiet.stderr[..]),
        (0, "", "")
    );
}

fn local(dir: &Path) -> Box<dyn Store> {
    Box::new(Local::open(dir, Access::Read, local_options()).unwrap())
}

fn sealed_and_different(report: &Verification) -> (usize, usize) {
    let counts = report.counts();
    (counts.seen[&Seen::Sealed], counts.different)
}

fn by_the_protocol() {
    let snaps = two_snapshots(&btrfs("source", 512), 1);
    let far = |dir: PathBuf| over(move || local(&dir), Access::Read, Access::Read, pipes).unwrap();
    let mut remote = far(snaps.clone());
    let report = verify::alone(&mut remote, Depth::Quick, &mut |_| ()).unwrap();
    assert_eq!(sealed_and_different(&report), (2, 0));
    alter_in(&snaps.join("base"));
    let report = verify::alone(&mut remote, Depth::Download, &mut |_| ()).unwrap();
    assert_eq!(sealed_and_different(&report), (1, 1));
    let mut report = verify::alone(&mut remote, Depth::Quick, &mut |_| ()).unwrap();
    verify::same_snapshots(&mut report, &local(&snaps).list().unwrap());
    assert_eq!(sealed_and_different(&report), (1, 1));
}

fn alter_in(snapshot: &Path) {
    set_read_only(snapshot, false);
    script(snapshot, "echo x >new; sync -f .");
    set_read_only(snapshot, true);
}

/// A bucket with a chain: 1 whole, 2 and 3 as differences from the one before; 2 in parts.
struct Bucket<'a> {
    server: &'a Server,
    name: String,
}

const FULL: usize = 300_000;
const LONG: usize = 5 * MIB + 500;
const LAST: usize = 400;

impl Bucket<'_> {
    fn new(server: &Server) -> Bucket<'_> {
        let bucket = Bucket {
            server,
            name: server.bucket(),
        };
        let mut store = open(&server.endpoint, &bucket.name);
        for (to, from, length) in [(1, None, FULL), (2, Some(1), LONG), (3, Some(2), LAST)] {
            let bytes = stream(to, from, length);
            put(
                &mut store,
                &diff(to, from, length),
                &format!("s{to}"),
                &bytes,
            )
            .unwrap();
        }
        bucket
    }

    fn key(to: u8, from: Option<u8>) -> String {
        let from = from.map_or("None".to_owned(), |n| uuid(n).to_string());
        format!("host/s{to}/{}_{from}", uuid(to))
    }

    fn get(&self, key: &str) -> Vec<u8> {
        let (status, body) = self.server.plain("GET", &self.name, key, b"");
        assert_eq!(status, 200, "{key}");
        body
    }

    fn put(&self, key: &str, body: &[u8]) {
        assert_eq!(self.server.plain("PUT", &self.name, key, body).0, 200);
    }

    fn delete(&self, key: &str) {
        let status = self.server.plain("DELETE", &self.name, key, b"").0;
        assert!(matches!(status, 200 | 204), "{status}");
    }

    fn look(&self, depth: Depth) -> Verification {
        let mut store = open(&self.server.endpoint, &self.name);
        let report = verify::alone(&mut store, depth, &mut |_| ()).unwrap();
        println!("{:#?}", report.findings);
        let retries = store.objects().counters().retries.load(Ordering::Relaxed);
        assert_eq!(
            retries, 0,
            "a service must not be asked what it cannot answer"
        );
        report
    }

    /// The ranks of the verdicts on s1, s2 and s3.
    #[track_caller]
    fn shows(&self, depth: Depth, ranks: [u8; 3], words: &str) {
        let report = self.look(depth);
        let rank = |n: usize| {
            let name = format!("s{n}");
            let found = report.findings.iter().find(|f| f.path == Path::new(&name));
            found.map_or(9, |finding| finding.verdict.rank())
        };
        assert_eq!([1, 2, 3].map(rank), ranks, "{words}");
        let all: Vec<&str> = report.findings.iter().map(|f| f.verdict.words()).collect();
        assert!(all.iter().any(|text| text.contains(words)), "no '{words}'");
    }
}

fn objects(server: &Server) {
    let bucket = Bucket::new(server);
    let keys = [
        Bucket::key(1, None),
        Bucket::key(2, Some(1)),
        Bucket::key(3, Some(2)),
    ];
    bucket.shows(Depth::Quick, [0; 3], "chain of 3 diffs");
    bucket.shows(Depth::Download, [0; 3], "tree hash is the recorded one");
    // Every way of damage to the first one is found, without reading it, in what builds on it too.
    let whole = bucket.get(&keys[0]);
    let damages: Vec<(&str, Vec<u8>)> = vec![
        ("first bit", flipped(&whole, 0)),
        ("a bit of its head", flipped(&whole, 30)),
        ("a bit in the middle", flipped(&whole, FULL / 2)),
        ("last bit", flipped(&whole, FULL - 1)),
        ("cut", whole[..FULL - 1].to_vec()),
        ("longer", [&whole[..], b"x"].concat()),
        ("empty", Vec::new()),
        ("another length of zeros", vec![0; FULL]),
    ];
    for (how, bytes) in damages {
        println!("{how}");
        bucket.put(&keys[0], &bytes);
        bucket.shows(Depth::Quick, [2; 3], "");
        if how.starts_with("a") {
            bucket.shows(Depth::Download, [2; 3], "");
        }
    }
    // The same bytes again are another object to one who does not read them, unless it has the ETag.
    bucket.put(&keys[0], &whole);
    bucket.shows(Depth::Download, [0; 3], "");
    let long = bucket.get(&keys[1]);
    bucket.put(&keys[1], &long);
    bucket.shows(Depth::Quick, [0, 1, 1], "--download tells");
    bucket.shows(Depth::Download, [0; 3], "");
    bucket.put(&keys[1], &flipped(&long, LONG - 20));
    bucket.shows(Depth::Download, [0, 2, 2], "");
    bucket.put(&keys[1], &long);
    // Two objects in each other's places.
    let last = bucket.get(&keys[2]);
    bucket.put(&keys[0], &last);
    bucket.put(&keys[2], &whole);
    bucket.shows(Depth::Quick, [2; 3], "");
    bucket.shows(Depth::Download, [2; 3], "");
    bucket.put(&keys[0], &whole);
    bucket.put(&keys[2], &last);
    bucket.shows(Depth::Download, [0; 3], "");
    // A missing link, and a missing end.
    bucket.delete(&keys[2]);
    bucket.shows(Depth::Download, [0, 0, 2], "was stored and is missing");
    bucket.put(&keys[2], &last);
    bucket.delete(&keys[0]);
    bucket.shows(Depth::Download, [2; 3], "its parent 01010101");
    bucket.put(&keys[0], &whole);
    no_records(&bucket);
    whole_chain_of_another(&bucket);
}

/// As the old program left them: what is not recorded must be read.
fn no_records(bucket: &Bucket) {
    for n in 1..=3 {
        bucket.delete(&format!("host/s{n}.bs"));
    }
    bucket.shows(Depth::Quick, [1; 3], "nothing was recorded");
    bucket.shows(Depth::Download, [0; 3], "no SHA-256 was recorded");
    bucket.put("host/s1.bs", format!("{}\tNone\t17\n", uuid(1)).as_bytes());
    bucket.shows(Depth::Quick, [2; 3], "17 were recorded");
    bucket.delete("host/s1.bs");
}

/// A right stream of the right UUID, of another generation than its child wants.
fn whole_chain_of_another(bucket: &Bucket) {
    let whole = stream(1, None, FULL);
    let mut other = whole.clone();
    // The generation is the last attribute of the first command; its CRC follows.
    let head = buttersink::stream::Head::read(&mut &whole[..]).unwrap();
    let changed = buttersink::stream::Head {
        ctransid: head.ctransid + 1,
        ..head.clone()
    };
    let length = head.encode().len();
    other.splice(..length, changed.encode());
    bucket.put(&Bucket::key(1, None), &other);
    bucket.shows(Depth::Download, [0, 2, 2], "of its parent");
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

fn split_objects(server: &Server) {
    let name = server.bucket();
    let length = 12 * MIB;
    let mut small = options(&server.endpoint);
    small.quirks = Some("max-parts=1".to_owned());
    let mut store = DiffStore::open(&name, "host/", Access::Write, small).unwrap();
    let known = diff(7, None, length);
    put(&mut store, &known, "s1", &stream(7, None, length)).unwrap();
    store.copy(Path::new("s1"), Path::new("s2")).unwrap();
    let bucket = Bucket { server, name };
    bucket.shows(Depth::Quick, [0, 0, 9], "3 parts");
    bucket.shows(Depth::Download, [0, 0, 9], "tree hash is the recorded one");
    let piece = |n: u8| format!("host/s1/{}_None.{n}", uuid(7));
    let second = bucket.get(&piece(2));
    bucket.put(&piece(2), &flipped(&second, 5));
    bucket.shows(Depth::Quick, [1, 0, 9], "ETag is another");
    bucket.shows(Depth::Download, [2, 0, 9], "");
    bucket.put(&piece(2), &bucket.get(&piece(1)));
    bucket.shows(Depth::Download, [2, 0, 9], "");
    bucket.put(&piece(2), &second[1..]);
    // It counts as unfinished, which is no proof either.
    let report = bucket.look(Depth::Quick);
    assert!(report.verdict().is_err());
    bucket.put(&piece(2), &second);
    let marker = format!("host/s1/{}_None.all-3-{length}", uuid(7));
    bucket.put(&marker, b"{}");
    bucket.shows(Depth::Quick, [2, 0, 9], "cannot read");
    bucket.delete(&marker);
    assert!(bucket.look(Depth::Quick).verdict().is_err());
}

/// Streams that are made again are held against objects that nobody downloads.
fn against_a_filesystem(server: &Server) {
    let snaps = two_snapshots(&btrfs("source", 512), 12);
    let name = server.bucket();
    let place = format!("s3://{name}/host/");
    let sink = |args: &[&OsStr]| {
        let said = output(
            Command::new(binary("buttersink"))
                .args(args)
                .args(["--endpoint-url", &server.endpoint])
                .env("AWS_ACCESS_KEY_ID", KEY)
                .env("AWS_SECRET_ACCESS_KEY", SECRET),
        );
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        (said.status.code().unwrap(), text)
    };
    let dir = snaps.join("");
    let upload = [
        dir.as_os_str(),
        place.as_ref(),
        "--part-size".as_ref(),
        "5".as_ref(),
    ];
    assert_eq!(sink(&upload).0, 0);
    let plain = [OsStr::new("verify"), place.as_ref()];
    let against = [&plain[..], &["--against".as_ref(), dir.as_ref()]].concat();
    assert_eq!(sink(&plain).0, 0);
    let (code, text) = sink(&against);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("of the stream made again"), "{text}");
    let store =
        || DiffStore::open(&name, "host/", Access::Read, options(&server.endpoint)).unwrap();
    let bucket = Bucket {
        server,
        name: name.clone(),
    };
    let keys = bucket_keys(&mut store());
    // Without the records it is the service's own checksums that tell.
    for name in ["base", "next"] {
        bucket.delete(&format!("host/{name}.bs"));
    }
    assert_eq!(sink(&plain).0, 1);
    let (code, text) = sink(&against);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("the service's MD5"), "{text}");
    for key in keys {
        let whole = bucket.get(&key);
        bucket.put(&key, &flipped(&whole, whole.len() / 2));
        let (code, text) = sink(&against);
        assert_eq!(code, 4, "{text}");
        bucket.put(&key, &whole[..whole.len() - 1]);
        assert_eq!(sink(&against).0, 4);
        bucket.put(&key, &whole);
        assert_eq!(sink(&against).0, 0);
    }
    // What the source has lost or altered is nothing to compare with.
    alter_in(&snaps.join("base"));
    let mut report = verify::alone(&mut store(), Depth::Quick, &mut |_| ()).unwrap();
    let (mut other, mut store) = (local(&snaps), store());
    let there = other.list().unwrap();
    verify::same_streams(&mut report, &mut store, &there, &mut *other, &mut |_| ()).unwrap();
    verify::same_snapshots(&mut report, &there);
    let base = |f: &&buttersink::proof::Finding| f.path == Path::new("base");
    let base = report.findings.iter().find(base).unwrap();
    assert!(base.verdict.rank() > 0, "{base:?}");
}

/// Keys of the diffs that a store offers.
fn bucket_keys(store: &mut DiffStore) -> Vec<String> {
    let listing = store.list().unwrap();
    let buttersink::snapshot::Offer::Only(diffs) = &listing.offer else {
        panic!("diffs only")
    };
    let key = |diff: &buttersink::snapshot::Diff| {
        let path = listing
            .snapshots
            .iter()
            .find(|s| s.id() == diff.to)
            .unwrap();
        let from = diff.from.map_or("None".to_owned(), |uuid| uuid.to_string());
        format!("host/{}/{}_{from}", path.path.display(), diff.to)
    };
    diffs.iter().map(key).collect()
}
