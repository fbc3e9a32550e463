//! What stores of streams write down of senders that mend, and that old buckets do not turn red: a
//! stream is made again in the way in which it was stored.

use crate::bucket_suites::settings;
use crate::pipes::{over, pipes};
use crate::runner::Test;
use crate::s3::{MIB, get, open, options, same};
use crate::servers::Server;
use crate::streams::{diff, stream, uuid};
use buttersink::error::{Error, Result};
use buttersink::proof::{Depth, Finding, Seen, Verdict};
use buttersink::snapshot::{Diff, Fault, Listing, Measured, Mended, Size, Sizes, Snapshot};
use buttersink::store::bucket::ArchiveStore;
use buttersink::store::bucket::DiffStore;
use buttersink::store::{Access, Sink, Store};
use buttersink::sync;
use buttersink::verify;
use std::io::{Cursor, Read, Write};
use std::path::Path;

pub(crate) const OWN: &[Test] = crate::tests![through_a_pipe];

pub(crate) const TESTS: &[Test] = crate::on_both!["mended::";
    a_bucket_keeps_the_record,
    an_archive_keeps_the_record,
    streams_are_made_as_they_were_stored,
    an_older_upload_is_finished,
];

/// A source of one snapshot. The kernel's stream has `plain` bytes, and what is sent `mended`.
#[derive(Clone)]
struct Source {
    plain: usize,
    mended: usize,
    mends: bool,
    known: Measured,
}

impl Source {
    /// What is sent is longer than what the kernel makes.
    fn new(plain: usize) -> Source {
        let mut known = Measured::default();
        known
            .mended
            .add(Fault::LostBytes, 207, Path::new("var/log"));
        Source {
            plain,
            mended: plain + 240,
            mends: true,
            known,
        }
    }

    /// As an older release does: what the kernel makes is sent.
    fn older(&self) -> Source {
        Source {
            mended: self.plain,
            mends: false,
            ..self.clone()
        }
    }

    /// Nothing needs mending.
    fn without_faults(&self) -> Source {
        Source {
            mended: self.plain,
            known: Measured::default(),
            ..self.clone()
        }
    }

    fn diff(&self) -> Diff {
        diff(1, None, self.mended)
    }
}

impl Store for Source {
    fn list(&mut self) -> Result<Listing> {
        Ok(Listing {
            location: "the source".to_owned(),
            snapshots: vec![Snapshot {
                path: "s".into(),
                uuid: uuid(1),
                read_only: true,
                ..Snapshot::default()
            }],
            ..Listing::default()
        })
    }

    fn measure(&mut self, diffs: &[Diff]) -> Result<Sizes> {
        let known = Measured {
            size: Size::Exact(self.mended as u64),
            ..self.known.clone()
        };
        Ok(diffs
            .iter()
            .map(|diff| (diff.key(), known.clone()))
            .collect())
    }

    fn send(&mut self, _: &Diff) -> Result<Box<dyn Read + '_>> {
        Ok(Box::new(Cursor::new(stream(1, None, self.mended))))
    }

    fn mends(&mut self, _: &Diff) -> Result<bool> {
        Ok(self.mends)
    }

    fn send_unmended(&mut self, _: &Diff) -> Result<Box<dyn Read + '_>> {
        Ok(Box::new(Cursor::new(stream(1, None, self.plain))))
    }

    fn receive(&mut self, _: &Diff, _: &Path) -> Result<Box<dyn Sink + '_>> {
        Err(Error::failed("cannot receive", "a source"))
    }

    fn copy(&mut self, _: &Path, _: &Path) -> Result<()> {
        Err(Error::failed("cannot copy", "a source"))
    }

    fn delete(&mut self, _: &Path) -> Result<()> {
        Err(Error::failed("cannot delete", "a source"))
    }
}

/// The far side of a pipe makes both kinds of streams too.
fn through_a_pipe() {
    let source = Source::new(900);
    let (known, far) = (source.diff(), source.clone());
    let open = move || Box::new(far.clone()) as Box<dyn Store>;
    let mut remote = over(open, Access::Read, Access::Read, pipes).unwrap();
    assert!(remote.mends(&known).unwrap());
    for (unmended, length) in [(false, source.mended), (true, source.plain)] {
        let mut bytes = Vec::new();
        let mut from = match unmended {
            true => remote.send_unmended(&known).unwrap(),
            false => remote.send(&known).unwrap(),
        };
        from.read_to_end(&mut bytes).unwrap();
        same(&bytes, &stream(1, None, length));
    }
}

fn bring(source: &mut dyn Store, dest: &mut dyn Store, diff: &Diff, path: &str) {
    sync::transfer(source, dest, diff, Path::new(path), &mut |_| ()).unwrap();
}

/// The verdict on the one snapshot of a store, held against a source.
fn against(store: &mut dyn Store, mut source: Source) -> Verdict {
    let mut report = verify::alone(store, Depth::Quick, &mut |_| ()).unwrap();
    let there = source.list().unwrap();
    verify::same_streams(&mut report, store, &there, &mut source, &mut |_| ()).unwrap();
    let [Finding { verdict, .. }] = &report.findings[..] else {
        panic!("{report:?}")
    };
    println!("{verdict:?}");
    verdict.clone()
}

fn body(server: &Server, bucket: &str, key: &str) -> String {
    let (status, body) = server.plain("GET", bucket, key, b"");
    assert_eq!(status, 200, "{key}");
    String::from_utf8(body).unwrap()
}

/// A prefix of the test's bucket.
fn below(server: &Server, bucket: &str, prefix: &str, quirks: &str) -> DiffStore {
    let mut options = options(&server.endpoint);
    options.quirks = (!quirks.is_empty()).then(|| quirks.to_owned());
    DiffStore::open(bucket, prefix, Access::Write, options).unwrap()
}

fn a_bucket_keeps_the_record(server: &Server) {
    let bucket = server.bucket();
    // In one part, in several, and in several objects.
    for (length, quirks) in [(900, ""), (11 * MIB, ""), (11 * MIB, "max-parts=1")] {
        let place = |name: &str| format!("{name}{length}{}/", quirks.len());
        let at = |name: &str| below(server, &bucket, &place(name), quirks);
        let mut source = Source::new(length);
        let known = source.diff();
        bring(&mut source, &mut at("a"), &known, "s");
        assert!(at("a").mends(&known).unwrap(), "{length} {quirks}");
        let hints = body(server, &bucket, &format!("{}s.bs", place("a")));
        let mark = format!("mended\t{}\tNone\t", uuid(1));
        assert!(hints.lines().last().unwrap().starts_with(&mark), "{hints}");
        let size = format!("{}\tNone\t{}", uuid(1), source.mended);
        assert_eq!(hints.lines().next(), Some(&*size));
        // Copies, and another bucket, have the record of what they are copies of.
        let mut store = at("a");
        store.copy(Path::new("s"), Path::new("t")).unwrap();
        store.delete(Path::new("s")).unwrap();
        assert!(at("a").mends(&known).unwrap());
        bring(&mut at("a"), &mut at("b"), &known, "s");
        assert!(at("b").mends(&known).unwrap());
        // The objects know it without what is written down beside them.
        let (status, _) = server.plain("DELETE", &bucket, &format!("{}t.bs", place("a")), b"");
        assert!(matches!(status, 200 | 204));
        assert!(at("a").mends(&known).unwrap());
        // What an older sender brings has no record.
        let mut older = source.older();
        let known = older.diff();
        bring(&mut older, &mut at("c"), &known, "s");
        assert!(!at("c").mends(&known).unwrap());
    }
}

fn archive(server: &Server, bucket: &str, prefix: &str) -> ArchiveStore {
    let settings = settings(bucket, prefix, 6 * MIB);
    ArchiveStore::open(settings, Access::Write, options(&server.endpoint)).unwrap()
}

fn an_archive_keeps_the_record(server: &Server) {
    const NAME: &str = "data__20261121T020000Z__full";
    let mut source = Source::new(11 * MIB);
    let known = source.diff();
    let bucket = server.bucket();
    bring(
        &mut source,
        &mut archive(server, &bucket, "new/"),
        &known,
        NAME,
    );
    let mut store = archive(server, &bucket, "new/");
    assert!(store.mends(&known).unwrap());
    let key = |prefix| format!("{prefix}/subvol/data/full/manifest-20261121T020000Z.json");
    assert!(body(server, &bucket, &key("new")).contains("\"mended\": true"));
    assert!(against(&mut store, source.clone()).has(Seen::Regenerated));
    let mut older = source.older();
    let known = older.diff();
    bring(
        &mut older,
        &mut archive(server, &bucket, "old/"),
        &known,
        NAME,
    );
    assert!(!body(server, &bucket, &key("old")).contains("mended"));
    let mut store = archive(server, &bucket, "old/");
    assert!(!store.mends(&known).unwrap());
    let without = source.without_faults();
    assert!(against(&mut store, without).has(Seen::Regenerated));
    assert_eq!(against(&mut store, source).rank(), 2);
}

fn streams_are_made_as_they_were_stored(server: &Server) {
    let mut source = Source::new(11 * MIB);
    let (known, bucket) = (source.diff(), server.bucket());
    bring(
        &mut source,
        &mut open(&server.endpoint, &bucket),
        &known,
        "s",
    );
    let mut store = open(&server.endpoint, &bucket);
    assert!(against(&mut store, source.clone()).has(Seen::Regenerated));
    // Who does not mend cannot make it again, which is no difference.
    let verdict = against(&mut store, source.older());
    assert!(verdict.rank() == 1 && verdict.words().contains("a sender that mends"));
    // The record is lost, and the stream is what it was.
    let key = format!("host/s/{}_None", uuid(1));
    let (_, bytes) = server.plain("GET", &bucket, &key, b"");
    assert_eq!(server.plain("PUT", &bucket, &key, &bytes).0, 200);
    server.plain("DELETE", &bucket, "host/s.bs", b"");
    let mut store = open(&server.endpoint, &bucket);
    assert!(!store.mends(&known).unwrap());
    assert!(against(&mut store, source.clone()).has(Seen::Regenerated));
    old_buckets(&mut below(server, &bucket, "old/", ""), &source);
}

/// What an older release stored is the kernel's own stream, and right unless it needs mending.
fn old_buckets(store: &mut DiffStore, source: &Source) {
    let mut older = source.older();
    let known = older.diff();
    bring(&mut older, store, &known, "s");
    assert!(against(store, source.without_faults()).has(Seen::Regenerated));
    assert!(against(store, older).has(Seen::Regenerated));
    let lacking = against(store, source.clone());
    let words = "stored without 207 bytes of var/log; send it again";
    assert_eq!(lacking, Verdict::Different(words.to_owned()));
    let mut modes = Mended::default();
    modes.add(Fault::LostMode, 1, Path::new("bin/su"));
    let of_modes = |known: Measured| Source {
        known,
        ..source.clone()
    };
    let verdict = against(
        store,
        of_modes(Measured {
            mended: modes,
            ..Measured::default()
        }),
    );
    assert!(
        verdict.rank() == 2
            && verdict
                .words()
                .contains("1 lost mode (bin/su); send it again")
    );
    let refused = Some("a rename comes too late".to_owned());
    let verdict = against(
        store,
        of_modes(Measured {
            refused,
            ..Measured::default()
        }),
    );
    assert!(verdict.rank() == 2 && verdict.words().contains("nobody can receive it"));
}

/// Parts that an older release left are compared, and used where they are the same; the record says
/// that the whole was mended.
fn an_older_upload_is_finished(server: &Server) {
    let mut source = Source::new(17 * MIB);
    let (known, bucket) = (source.diff(), server.bucket());
    let bytes = stream(1, None, source.mended);
    let mut store = open(&server.endpoint, &bucket);
    let mut sink = store.receive(&known, Path::new("s")).unwrap();
    sink.write_all(&bytes[..11 * MIB]).unwrap();
    drop(sink);
    let mut store = open(&server.endpoint, &bucket);
    assert_eq!(store.list().unwrap().snapshots.len(), 1);
    bring(&mut source, &mut store, &known, "s");
    let mut store = open(&server.endpoint, &bucket);
    assert!(store.mends(&known).unwrap());
    same(&get(&mut store, &known).unwrap(), &bytes);
    assert!(against(&mut store, source).has(Seen::Regenerated));
}
