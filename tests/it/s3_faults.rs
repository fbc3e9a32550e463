//! A proxy that breaks things in front of real servers. Whatever it does, a transfer ends right or
//! with a clear error, and never with a wrong object.

use crate::runner::Test;
use crate::s3::{MIB, get, hex, open, options, put, same, sha256};
use crate::servers::{Server, shared};
use crate::streams::{diff, stream, uuid};
use buttersink::error::Kind;
use buttersink::s3::S3Options;
use buttersink::snapshot::{Offer, State};
use buttersink::store::bucket::DiffStore;
use buttersink::store::{Access, Store};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        &[$(
            (concat!("s3_faults::", stringify!($name), "_seaweedfs"), || $name(&shared("seaweedfs"))),
            (concat!("s3_faults::", stringify!($name), "_radosgw"), || $name(&shared("radosgw"))),
        )*]
    };
}

pub(crate) const TESTS: &[Test] = on_both![
    the_proxy_itself_is_harmless,
    all_kinds_at_once,
    a_lost_completion,
    a_lost_small_object,
    corruption_on_the_way_down,
    an_error_with_status_200,
    nothing_helps_for_ever,
    a_redirect_to_another_region,
    what_is_in_the_trash_is_not_copied_again,
];

/// What is done to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// The connection is reset before the server sees anything.
    Reset,
    /// An answer of our own: status, and a header.
    Answer(u16, &'static str),
    /// Half of the answer's body, and the end.
    HalfAnswer,
    /// One bit of the request's body is turned over.
    CorruptUp,
    /// One bit of the answer's body.
    CorruptDown,
    /// It is carried out, and nobody hears of it.
    LoseAnswer,
    /// Nothing at all happens.
    Stuck,
    /// Status 200 with an error in the body.
    Error200,
    /// Status 200 with this body.
    Body(&'static str),
    /// The object is archived.
    Frozen,
}

/// A request as the rule sees it.
pub(crate) struct Seen<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    /// Whose keys signed it, for which region, and the names of the headers that they signed.
    pub(crate) signed: &'a str,
    /// How many requests came before.
    pub(crate) before: usize,
}

type Rule = Box<dyn FnMut(&Seen<'_>) -> Option<Fault> + Send>;

pub(crate) struct Proxy {
    pub(crate) endpoint: String,
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
    /// One more than the requests under way.
    under_way: Arc<()>,
}

impl Proxy {
    pub(crate) fn before(
        server: &Server,
        rule: impl FnMut(&Seen<'_>) -> Option<Fault> + Send + 'static,
    ) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let upstream = server.endpoint.trim_start_matches("http://").to_owned();
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Box::new(rule)));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&seen);
        let under_way = Arc::new(());
        let held = Arc::downgrade(&under_way);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (rule, list, upstream) =
                    (Arc::clone(&rule), Arc::clone(&list), upstream.clone());
                let held = held.upgrade();
                // A broken connection is what this is for.
                std::thread::spawn(move || {
                    let _held = held;
                    serve(&client, &upstream, &rule, &list)
                });
            }
        });
        Proxy {
            endpoint,
            seen,
            under_way,
        }
    }

    /// Waits until the server has answered what a client sent before it died.
    pub(crate) fn settle(&self) {
        while Arc::strong_count(&self.under_way) > 1 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn count(&self, word: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|line| line.contains(word)).count()
    }

    fn store(&self, bucket: &str, change: impl Fn(&mut S3Options)) -> DiffStore {
        let mut options = options(&self.endpoint);
        options.silence = Duration::from_secs(2);
        change(&mut options);
        DiffStore::open(bucket, "host/", Access::Write, options).unwrap()
    }
}

/// One request for each connection.
fn serve(
    client: &TcpStream,
    upstream: &str,
    rule: &Mutex<Rule>,
    list: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut reader = BufReader::new(client);
    let head = read_head(&mut reader)?;
    let mut words = head.split(' ');
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    if method.is_empty() {
        return Ok(());
    }
    let signed = head.lines().find(|line| line.starts_with("authorization:"));
    let signed = signed.unwrap_or_default();
    let fault = {
        let mut list = list.lock().unwrap();
        let before = list.len();
        list.push(format!("{method} {target}"));
        rule.lock().unwrap()(&Seen {
            method,
            target,
            signed,
            before,
        })
    };
    let mut body = vec![0; length(&head)];
    match fault {
        Some(Fault::Reset) => return client.shutdown(Shutdown::Both),
        Some(Fault::Stuck) => {
            std::thread::sleep(Duration::from_secs(30));
            return Ok(());
        }
        _ => reader.read_exact(&mut body)?,
    }
    match fault {
        Some(Fault::Answer(status, header)) => {
            let text = format!(
                "HTTP/1.1 {status} no\r\n{header}content-length: 0\r\nconnection: close\r\n\r\n"
            );
            return (&*client).write_all(text.as_bytes());
        }
        Some(Fault::Error200) => {
            let error = "<Error><Code>InternalError</Code><Message>late</Message></Error>";
            let text = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{error}",
                error.len()
            );
            return (&*client).write_all(text.as_bytes());
        }
        Some(Fault::Frozen) => {
            let error = "<Error><Code>InvalidObjectState</Code><Message>cold</Message></Error>";
            let text = format!(
                "HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{error}",
                error.len()
            );
            return (&*client).write_all(text.as_bytes());
        }
        Some(Fault::Body(text)) => {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                text.len()
            );
            return (&*client).write_all((head + text).as_bytes());
        }
        Some(Fault::CorruptUp) if !body.is_empty() => {
            let middle = body.len() / 2;
            body[middle] ^= 4;
        }
        _ => {}
    }
    let mut answer = forward(upstream, &head, &body, method)?;
    let start = answer
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .map_or(0, |at| at + 4);
    match fault {
        Some(Fault::LoseAnswer) => return client.shutdown(Shutdown::Both),
        Some(Fault::HalfAnswer) => answer.truncate((start + answer.len()) / 2),
        Some(Fault::CorruptDown) if answer.len() > start => {
            let middle = (start + answer.len()) / 2;
            answer[middle] ^= 4;
        }
        _ => {}
    }
    (&*client).write_all(&answer)
}

fn read_head(reader: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(String::new());
        }
    }
    Ok(head)
}

fn length(head: &str) -> usize {
    let lower = head.to_ascii_lowercase();
    let line = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    line.map_or(0, |value| value.trim().parse().unwrap())
}

fn forward(upstream: &str, head: &str, body: &[u8], method: &str) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(upstream)?;
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    server.write_all(head.as_bytes())?;
    server.write_all(body)?;
    let mut reader = BufReader::new(server);
    let head = read_head(&mut reader)?;
    let mut answer = head.clone().into_bytes();
    if method != "HEAD" {
        match head.to_ascii_lowercase().contains("content-length:") {
            true => {
                let mut rest = vec![0; length(&head)];
                reader.read_exact(&mut rest)?;
                answer.extend(rest);
            }
            false => drop(reader.read_to_end(&mut answer)?),
        }
    }
    Ok(answer)
}

fn the_proxy_itself_is_harmless(server: &Server) {
    let bucket = server.bucket();
    let proxy = Proxy::before(server, |_| None);
    let bytes = stream(1, None, 11 * MIB);
    let known = diff(1, None, bytes.len());
    let mut store = proxy.store(&bucket, |_| {});
    put(&mut store, &known, "s", &bytes).unwrap();
    same(&get(&mut store, &known).unwrap(), &bytes);
    assert_eq!(proxy.count("partNumber="), 3);
    assert_eq!(
        store
            .client()
            .counters
            .retries
            .load(std::sync::atomic::Ordering::Relaxed),
        0
    );
}

/// Every third request goes wrong, each time in another way.
pub(crate) fn every_third() -> impl FnMut(&Seen<'_>) -> Option<Fault> + Send {
    let mut next = 0;
    move |seen| {
        const KINDS: &[Fault] = &[
            Fault::Reset,
            Fault::Answer(500, ""),
            Fault::Answer(503, "retry-after: 1\r\n"),
            Fault::HalfAnswer,
            Fault::CorruptUp,
            Fault::LoseAnswer,
            Fault::Stuck,
            Fault::Answer(429, ""),
        ];
        // A changed document is another document; its MD5 is sent along only where S3 asks for it.
        let part = seen.target.contains("partNumber=");
        let wrong = seen.before % 3 == 2;
        next += usize::from(wrong);
        let kind = KINDS[next % KINDS.len()];
        (wrong && (kind != Fault::CorruptUp || part)).then_some(kind)
    }
}

/// Every third request goes wrong, each time in another way, and yet all ends well.
fn all_kinds_at_once(server: &Server) {
    let bucket = server.bucket();
    let proxy = Proxy::before(server, every_third());
    let bytes = stream(1, None, 33 * MIB);
    let known = diff(1, None, bytes.len());
    let mut store = proxy.store(&bucket, |_| {});
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
    let mut store = proxy.store(&bucket, |_| {});
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
    let mut store = proxy.store(&bucket, |_| {});
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
    for known in [known, diff(2, None, 900), known] {
        let mut store = proxy.store(&bucket, |_| {});
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
    let mut store = proxy.store(&bucket, |_| {});
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
        let mut store = proxy.store(&bucket, |options| {
            options.retries = 2;
            options.silence = Duration::from_secs(1);
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
    let mut store = proxy.store(&bucket, |_| {});
    put(&mut store, &known, "s", &bytes).unwrap();
    let sent = proxy.count("partNumber=");
    assert!(sent <= 3, "{sent} parts were sent again");
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
    let mut store = proxy.store(&bucket, |options| {
        options.region = Some("eu-west-1".to_owned());
    });
    put(&mut store, &diff(1, None, 300), "s", &stream(1, None, 300)).unwrap();
    assert_eq!(*astray.lock().unwrap(), 1, "the region is remembered");
    assert!(store.client().described().contains("us-east-1"));
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
        let mut store = proxy.store(&bucket, |_| {});
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
