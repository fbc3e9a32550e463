//! A proxy that breaks things in front of real servers. Whatever it does, a transfer ends right or
//! with a clear error, and never with a wrong object.

use crate::proxy::{Fault, Proxy, Seen, every_third};
use crate::runner::Test;
use crate::s3::{MIB, get, hex, open, options, put, same, sha256};
use crate::servers::Server;
use crate::streams::{diff, stream, uuid};
use buttersink::error::Kind;
use buttersink::s3::S3Options;
use buttersink::snapshot::{Offer, State};
use buttersink::store::bucket::DiffStore;
use buttersink::store::{Access, Store};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = crate::on_both!["s3_faults::";
    the_proxy_itself_is_harmless,
    all_kinds_at_once,
    a_lost_completion,
    a_lost_small_object,
    corruption_on_the_way_down,
    an_error_with_status_200,
    nothing_helps_for_ever,
    a_redirect_to_another_region,
    a_cut_listing_is_asked_for_again,
    the_first_request_is_repeated_as_any_other,
    what_is_in_the_trash_is_not_copied_again,
];

fn store(proxy: &Proxy, bucket: &str, change: impl Fn(&mut S3Options)) -> DiffStore {
    let mut options = options(&proxy.endpoint);
    options.silence = Duration::from_secs(10);
    change(&mut options);
    DiffStore::open(bucket, "host/", Access::Write, options).unwrap()
}

fn the_proxy_itself_is_harmless(server: &Server) {
    let bucket = server.bucket();
    let proxy = Proxy::before(server, |_| None);
    let bytes = stream(1, None, 11 * MIB);
    let known = diff(1, None, bytes.len());
    let mut store = store(&proxy, &bucket, |_| {});
    put(&mut store, &known, "s", &bytes).unwrap();
    same(&get(&mut store, &known).unwrap(), &bytes);
    assert_eq!(proxy.count("partNumber="), 3);
    assert_eq!(
        store
            .objects()
            .counters()
            .retries
            .load(std::sync::atomic::Ordering::Relaxed),
        0
    );
}

/// Every third request goes wrong, each time in another way, and yet all ends well.
fn all_kinds_at_once(server: &Server) {
    let bucket = server.bucket();
    let proxy = Proxy::before(server, every_third());
    let bytes = stream(1, None, 33 * MIB);
    let known = diff(1, None, bytes.len());
    let mut store = store(&proxy, &bucket, |_| {});
    put(&mut store, &known, "s", &bytes).unwrap();
    same(&get(&mut store, &known).unwrap(), &bytes);
    let mut direct = open(&server.endpoint, &bucket);
    same(&get(&mut direct, &known).unwrap(), &bytes);
    assert!(proxy.count("partNumber=") > 7);
}

fn a_lost_completion(server: &Server) {
    let bucket = server.bucket();
    let mut lost = 0;
    let proxy = Proxy::before(server, move |seen| {
        let completion = seen.method == "POST" && seen.target.contains("uploadId=");
        lost += usize::from(completion);
        (completion && lost == 1).then_some(Fault::LoseAnswer)
    });
    let bytes = stream(1, None, 11 * MIB);
    let known = diff(1, None, bytes.len());
    let mut store = store(&proxy, &bucket, |_| {});
    put(&mut store, &known, "s", &bytes).unwrap();
    same(&get(&mut store, &known).unwrap(), &bytes);
    // It was looked up, not sent again.
    assert_eq!(proxy.count("POST"), 2);
    let listing = open(&server.endpoint, &bucket).list().unwrap();
    assert_eq!(listing.snapshots.len(), 1);
    assert_eq!(listing.notes, Vec::<String>::new());
}

fn a_lost_small_object(server: &Server) {
    let bucket = server.bucket();
    let mut lost = false;
    let proxy = Proxy::before(server, move |seen| {
        let first = seen.method == "PUT" && !lost;
        lost |= first;
        first.then_some(Fault::LoseAnswer)
    });
    let bytes = stream(1, None, 3000);
    let mut store = store(&proxy, &bucket, |_| {});
    put(&mut store, &diff(1, None, 3000), "s", &bytes).unwrap();
    same(&get(&mut store, &diff(1, None, 3000)).unwrap(), &bytes);
}

/// Ranges carry no checksum, so that it shows at the end, but before the end.
fn corruption_on_the_way_down(server: &Server) {
    let bucket = server.bucket();
    let bytes = stream(1, None, 17 * MIB);
    let known = diff(1, None, bytes.len());
    put(&mut open(&server.endpoint, &bucket), &known, "s", &bytes).unwrap();
    let small = stream(2, None, 900);
    put(
        &mut open(&server.endpoint, &bucket),
        &diff(2, None, 900),
        "t",
        &small,
    )
    .unwrap();
    let proxy = Proxy::before(server, |seen| {
        let object = seen.method == "GET" && seen.target.ends_with("_None");
        object.then_some(Fault::CorruptDown)
    });
    let mut expected = "its SHA-256 tree hash is";
    for known in [known.clone(), diff(2, None, 900), known] {
        let mut store = store(&proxy, &bucket, |_| {});
        let error = get(&mut store, &known).unwrap_err();
        assert_eq!(error.kind, Kind::Damaged);
        assert!(error.to_string().contains(expected), "{error}");
        if known.to == uuid(2) {
            // The last one as it was recorded before there were tree hashes.
            let (_, hints) = server.ask("GET", &bucket, "host/s.bs", &[], b"");
            let hints = String::from_utf8(hints).unwrap();
            let (before, sum) = hints.trim_end().rsplit_once('\t').unwrap();
            assert_eq!(sum.len(), 64);
            let old = before.replace("tree-hash", "sha256");
            assert_ne!(old, before);
            let old = format!("{old}\t{}\n", hex(&sha256(&bytes)));
            server.ask("PUT", &bucket, "host/s.bs", &[], old.as_bytes());
            expected = "its SHA-256 is";
        }
        // Whoever reads on is told so again.
        let mut from = store.send(&known).unwrap();
        for _ in 0..2 {
            io::copy(&mut from, &mut io::sink()).unwrap_err();
        }
    }
}

fn an_error_with_status_200(server: &Server) {
    let bucket = server.bucket();
    let mut times = 0;
    let proxy = Proxy::before(server, move |seen| {
        let completion = seen.method == "POST" && seen.target.contains("uploadId=");
        times += usize::from(completion);
        (completion && times < 3).then_some(Fault::Error200)
    });
    let bytes = stream(1, None, 6 * MIB);
    let known = diff(1, None, bytes.len());
    let mut store = store(&proxy, &bucket, |_| {});
    put(&mut store, &known, "s", &bytes).unwrap();
    same(
        &get(&mut open(&server.endpoint, &bucket), &known).unwrap(),
        &bytes,
    );
}

/// What does not pass ends in an error that says what it was, soon enough, and leaves parts that
/// the next run goes on with.
fn nothing_helps_for_ever(server: &Server) {
    let bucket = server.bucket();
    let bytes = stream(1, None, 27 * MIB);
    let known = diff(1, None, bytes.len());
    for (fault, word) in [
        (Fault::Answer(503, ""), "ServiceUnavailable"),
        (Fault::Stuck, "silent"),
        (Fault::CorruptUp, "Digest"),
        (Fault::Reset, "tried 3 times"),
    ] {
        let proxy = Proxy::before(server, move |seen| {
            let late = ["partNumber=4", "partNumber=5", "partNumber=6"];
            late.iter()
                .any(|part| seen.target.contains(part))
                .then_some(fault)
        });
        let mut store = store(&proxy, &bucket, |options| {
            options.retries = 2;
            // Only what is stuck needs to be noticed soon.
            if fault == Fault::Stuck {
                options.silence = Duration::from_secs(1);
            }
        });
        let start = Instant::now();
        let error = put(&mut store, &known, "s", &bytes)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(word) && error.contains("part"),
            "{fault:?}: {error}"
        );
        assert!(start.elapsed() < Duration::from_secs(60), "no end");
        let listing = open(&server.endpoint, &bucket).list().unwrap();
        assert_eq!(listing.offer, Offer::Only(Vec::new()));
        assert_eq!(listing.snapshots[0].state, State::Partial);
    }
    let proxy = Proxy::before(server, |_| None);
    let mut store = store(&proxy, &bucket, |_| {});
    put(&mut store, &known, "s", &bytes).unwrap();
    // A slow server may be asked twice for a part.
    let again = |part: &u32| proxy.count(&format!("partNumber={part}")) > 0;
    let again: Vec<u32> = (1..=6).filter(again).collect();
    assert_eq!(again, [4, 5, 6]);
    same(&get(&mut store, &known).unwrap(), &bytes);
    let path = Path::new("s");
    store.delete(path).unwrap();
    let key = format!("trash/host/s/{}_None", uuid(1));
    assert_eq!(server.plain("HEAD", &bucket, &key, b"").0, 200);
}

fn a_redirect_to_another_region(server: &Server) {
    let bucket = server.bucket();
    let astray = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&astray);
    let proxy = Proxy::before(server, move |seen| {
        if seen.signed.contains("/us-east-1/s3/") {
            return None;
        }
        assert!(seen.signed.contains("/eu-west-1/s3/"), "{}", seen.signed);
        *counted.lock().unwrap() += 1;
        Some(Fault::Answer(301, "x-amz-bucket-region: us-east-1\r\n"))
    });
    let mut store = store(&proxy, &bucket, |options| {
        options.region = Some("eu-west-1".to_owned());
    });
    put(&mut store, &diff(1, None, 300), "s", &stream(1, None, 300)).unwrap();
    assert_eq!(*astray.lock().unwrap(), 1, "the region is remembered");
    assert!(store.objects().described().contains("us-east-1"));
}

fn a_cut_listing_is_asked_for_again(server: &Server) {
    let bucket = server.bucket();
    put(
        &mut open(&server.endpoint, &bucket),
        &diff(1, None, 300),
        "s",
        &stream(1, None, 300),
    )
    .unwrap();
    let cut = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>host/";
    let mut cuts = 0;
    let proxy = Proxy::before(server, move |seen| {
        let list = seen.target.contains("list-type=2");
        cuts += usize::from(list);
        (list && cuts <= 2).then_some(Fault::Body(cut))
    });
    let listing = store(&proxy, &bucket, |_| {}).list().unwrap();
    assert_eq!(listing.snapshots.len(), 1);
    assert!(proxy.count("list-type=2") >= 3);
    // An answer that is whole, and another one, is not asked for again.
    let proxy = Proxy::before(server, |_| Some(Fault::Body("<html></html>")));
    let error = store(&proxy, &bucket, |_| {})
        .list()
        .unwrap_err()
        .to_string();
    assert!(error.contains("not a ListBucketResult"), "{error}");
    assert_eq!(proxy.count("list-type=2"), 1);
}

fn the_first_request_is_repeated_as_any_other(server: &Server) {
    let bucket = server.bucket();
    let proxy = Proxy::before(server, |seen| (seen.before < 5).then_some(Fault::Reset));
    let listing = store(&proxy, &bucket, |_| {}).list().unwrap();
    assert_eq!(listing.snapshots.len(), 0);
}

/// A key that may copy and not remove, and later one that may.
fn what_is_in_the_trash_is_not_copied_again(server: &Server) {
    let bucket = server.bucket();
    let full = stream(1, None, 5000);
    put(
        &mut open(&server.endpoint, &bucket),
        &diff(1, None, full.len()),
        "s",
        &full,
    )
    .unwrap();
    let removing = |seen: &Seen<'_>| seen.method == "DELETE" || seen.target.contains("?delete");
    let denied = Proxy::before(server, move |seen| {
        removing(seen).then_some(Fault::Answer(403, ""))
    });
    let copies = |proxy: &Proxy| proxy.count(&format!("PUT /{bucket}/trash/"));
    let delete = |proxy: &Proxy| {
        let mut store = store(proxy, &bucket, |_| {});
        assert_eq!(store.list().unwrap().snapshots.len(), 1);
        store.delete(Path::new("s"))
    };
    delete(&denied).unwrap_err();
    let first = copies(&denied);
    assert!(first > 0, "it copies before it removes");
    delete(&denied).unwrap_err();
    assert_eq!(copies(&denied), first, "a second time");
    let allowed = Proxy::before(server, |_| None);
    delete(&allowed).unwrap();
    assert_eq!(copies(&allowed), 0);
    assert!(
        open(&server.endpoint, &bucket)
            .list()
            .unwrap()
            .snapshots
            .is_empty()
    );
    let key = format!("trash/host/s/{}_None", uuid(1));
    same(&server.plain("GET", &bucket, &key, b"").1, &full);
}
