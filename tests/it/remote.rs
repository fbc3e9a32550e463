//! The two halves of ssh over a pair of pipes, without ssh: the suites, permissions, and cut
//! connections.

use crate::contract::{self, World, bytes, chain, put, size, sound};
use crate::damage;
use crate::memory::Memory;
use crate::pipes::{Ends, opened, over, pipes, sockets};
use crate::runner::Test;
use crate::streams::{diff, stream};
use crate::tests;
use buttersink::error::{Error, Kind, Result};
use buttersink::event::{Event, Watched};
use buttersink::objects::memory::Memory as Objects;
use buttersink::proof::Depth;
use buttersink::store::bucket::DiffStore;
use buttersink::store::remote::{Dial, Remote};
use buttersink::store::serve::serve;
use buttersink::store::{Access, Hello, Store};
use buttersink::verify::{self, RehearsalTrial};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) const TESTS: &[Test] = tests![
    memory_keeps_the_contract,
    remote_keeps_the_contract,
    remote_keeps_the_contract_over_sockets,
    each_mode_is_refused_what_it_must_be,
    less_than_needed_is_said,
    one_connection_for_a_whole_run,
    the_far_sides_words_arrive_at_once,
    the_far_sources_words_arrive,
    a_cut_push_leaves_nothing,
    a_cut_pull_is_never_whole,
    who_verifies_far_away_tells_how_far_it_is,
    a_drill_tells_how_far_it_is,
];

fn around(memory: &Memory, access: Access) -> Remote {
    let memory = memory.clone();
    over(move || Box::new(memory.clone()), access, access, pipes).unwrap()
}

/// Memory, directly or at the other end of a connection.
struct Memories {
    source: Memory,
    dest: Memory,
    connect: Option<fn() -> Ends>,
}

impl Memories {
    fn new(connect: Option<fn() -> Ends>) -> Memories {
        let source = Memory::with_snapshots(3_000_000);
        let dest = Memory::default();
        Memories {
            source,
            dest,
            connect,
        }
    }

    fn open(&self, memory: &Memory) -> Box<dyn Store> {
        let memory = memory.clone();
        match self.connect {
            None => Box::new(memory),
            Some(connect) => {
                let make = move || Box::new(memory.clone()) as Box<dyn Store>;
                Box::new(over(make, Access::Write, Access::Write, connect).unwrap())
            }
        }
    }
}

impl World for Memories {
    fn source(&mut self) -> Box<dyn Store> {
        self.open(&self.source)
    }

    fn dest(&mut self) -> Box<dyn Store> {
        self.dest = Memory::default();
        self.open(&self.dest)
    }

    fn look(&mut self) -> Box<dyn Store> {
        self.open(&self.dest)
    }

    fn same(&mut self, name: &str, copy: &Path) {
        assert!(
            self.source.content(Path::new(name)) == self.dest.content(copy),
            "{name}"
        );
    }
}

fn suites(world: &mut dyn World) {
    contract::all(world);
    damage::all(world);
}

fn memory_keeps_the_contract() {
    suites(&mut Memories::new(None));
}

fn remote_keeps_the_contract() {
    suites(&mut Memories::new(Some(pipes)));
}

fn remote_keeps_the_contract_over_sockets() {
    suites(&mut Memories::new(Some(sockets)));
}

fn each_mode_is_refused_what_it_must_be() {
    let (base, new) = (Path::new("base"), Path::new("new"));
    for granted in [Access::Read, Access::Put, Access::Append, Access::Write] {
        let (reads, adds) = (granted != Access::Put, granted != Access::Read);
        let memory = Memory::with_snapshots(1000);
        let mut far = around(&memory, granted);
        let mut sources = Memory::with_snapshots(1000);
        let [full, _] = chain(&mut far);
        let stream = bytes(&mut sources, &full);
        assert_eq!(far.measure(std::slice::from_ref(&full)).is_ok(), reads);
        match reads {
            true => assert_eq!(bytes(&mut far, &full), stream),
            false => assert!(far.send(&full).is_err()),
        }
        assert_eq!(put(&mut far, &full, new, &stream).is_ok(), adds);
        assert!(put(&mut far, &full, base, &stream).is_err(), "over another");
        assert_eq!(far.copy(base, Path::new("copy")).is_ok(), adds);
        assert!(far.copy(Path::new("next"), base).is_err(), "over another");
        let deleted = far.delete(Path::new("next"));
        assert_eq!(deleted.is_ok(), granted == Access::Write);
        if let Err(error) = deleted {
            assert_eq!(error.kind, Kind::Refused);
            assert!(error.to_string().contains("this needs mode w"), "{error}");
        }
        let count = [2, 4, 4, 3][granted as usize];
        assert_eq!(memory.held().kept.len(), count, "{granted:?}");
        assert_eq!(
            memory.content(base),
            Memory::with_snapshots(1000).content(base)
        );
    }
}

fn less_than_needed_is_said() {
    let make = || Box::new(Memory::default()) as Box<dyn Store>;
    let error = over(make, Access::Write, Access::Append, pipes)
        .err()
        .unwrap();
    assert_eq!(error.kind, Kind::Refused);
    let text = error.to_string();
    assert!(
        text.contains("grants mode a, and this run needs mode w"),
        "{text}"
    );
    assert!(over(make, Access::Append, Access::Write, pipes).is_ok());
}

/// A remote store, and how often it connected.
fn counted(memory: &Memory) -> (Remote, Arc<AtomicUsize>) {
    let (memory, count) = (memory.clone(), Arc::new(AtomicUsize::new(0)));
    let counter = count.clone();
    let dial: Dial = Box::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        let (memory, Ends(near, far)) = (memory.clone(), pipes());
        std::thread::spawn(move || serve(opened(&memory), Access::Write, far.0, far.1));
        Ok(near)
    });
    (
        Remote::connect("far", Access::Write, Hello::here(), dial).unwrap(),
        count,
    )
}

fn one_connection_for_a_whole_run() {
    let (mut source, memory) = (Memory::with_snapshots(100_000), Memory::default());
    let (mut far, dials) = counted(&memory);
    let [base, next] = chain(&mut source);
    let stream = bytes(&mut source, &base);
    // Refusals and streams that are given up cost no connection.
    assert!(far.delete(Path::new("nothing")).is_err());
    let mut sink = far.receive(&base, Path::new("base")).unwrap();
    sink.write_all(&stream[..1000]).unwrap();
    drop(sink);
    drop(far.receive(&base, Path::new("base")).unwrap());
    assert!(put(&mut far, &base, Path::new("base"), &stream[..1000]).is_err());
    put(&mut far, &base, Path::new("base"), &stream).unwrap();
    assert_eq!(
        memory.held().aborted,
        3,
        "each was given up before the next began"
    );
    let stream = bytes(&mut source, &next);
    put(&mut far, &next, Path::new("next"), &stream).unwrap();
    assert_eq!(
        bytes(&mut far, &base).len(),
        bytes(&mut source, &base).len()
    );
    assert_eq!(dials.load(Ordering::SeqCst), 1);
    // To give up a stream of the far side's is to hang up.
    drop(far.send(&base).unwrap());
    assert_eq!(sound(&mut far).len(), 2);
    assert_eq!(dials.load(Ordering::SeqCst), 2);
}

fn the_far_sides_words_arrive_at_once() {
    let mut source = Memory::with_snapshots(1000);
    let [base, _] = chain(&mut source);
    for connect in [pipes, sockets] {
        let memory = Memory::default();
        memory.held().room = Some(1_000_000);
        let far = memory.clone();
        let make = move || Box::new(far.clone()) as Box<dyn Store>;
        let mut far = over(make, Access::Append, Access::Append, connect).unwrap();
        // Without end: only the far side's failure can stop it.
        let mut sink = far.receive(&base, Path::new("base")).unwrap();
        let error = io::copy(&mut io::repeat(7), &mut sink).unwrap_err();
        let error = Error::io("", error);
        assert_eq!(
            error.to_string(),
            "far: cannot receive: No space left on device"
        );
        let again = Error::io("", sink.write(b"more").unwrap_err());
        assert_eq!(again.to_string(), error.to_string());
        assert_eq!(sink.finish().unwrap_err().to_string(), error.to_string());
        assert_eq!(memory.held().aborted, 1, "cleaned up before it was said");
        memory.held().room = None;
        let stream = bytes(&mut source, &base);
        put(&mut far, &base, Path::new("base"), &stream).unwrap();
    }
}

fn the_far_sources_words_arrive() {
    let memory = Memory::with_snapshots(3_000_000);
    let (mut far, dials) = counted(&memory);
    let [base, _] = chain(&mut far);
    memory.held().readable = Some(700_000);
    let (mut stream, mut got) = (far.send(&base).unwrap(), Vec::new());
    let error = stream.read_to_end(&mut got).unwrap_err();
    assert_eq!(
        error.to_string(),
        "far: cannot send base: the disk is on fire"
    );
    assert_eq!(got.len(), 700_000);
    assert!(
        stream.read(&mut [0; 10]).is_err(),
        "an error is never followed by an end"
    );
    drop(stream);
    memory.held().readable = None;
    bytes(&mut far, &base);
    assert_eq!(dials.load(Ordering::SeqCst), 1);
}

/// Lets so many bytes pass, and then the connection is cut.
struct Cut<T>(T, usize);

impl<T: Read> Read for Cut<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = buf.len().min(self.1);
        let n = self.0.read(&mut buf[..want])?;
        self.1 -= n;
        Ok(n)
    }
}

impl<T: Write> Write for Cut<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.1 == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let n = self.0.write(&buf[..buf.len().min(self.1)])?;
        self.1 -= n;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A remote store whose first connection is cut after so many bytes there or back, and whose
/// later ones are sound. The server of the cut one has ended when a later one begins.
fn fragile(memory: &Memory, there: usize, back: usize) -> Result<Remote> {
    let memory = memory.clone();
    let mut first: Option<std::thread::JoinHandle<Result<()>>> = None;
    let dial: Dial = Box::new(move || {
        let (memory, Ends(near, far)) = (memory.clone(), pipes());
        let (there, back) = match first.take() {
            Some(server) => {
                assert!(!server.is_finished() || server.join().is_ok());
                (usize::MAX, usize::MAX)
            }
            None => (there, back),
        };
        let server = move || serve(opened(&memory), Access::Write, Cut(far.0, there), far.1);
        first = Some(std::thread::spawn(server));
        Ok((Box::new(Cut(near.0, back)), Box::new(near.1)))
    });
    Remote::connect("far", Access::Write, Hello::here(), dial)
}

fn honest(error: &Error, place: usize) {
    let text = error.to_string();
    assert!(!text.contains("Broken pipe"), "cut at {place}: {text}");
    let known = [
        "connection to far lost",
        "cannot connect to far",
        "connection to the client is lost",
    ];
    assert!(
        known.iter().any(|words| text.contains(words)),
        "cut at {place}: {text}"
    );
}

fn places() -> impl Iterator<Item = usize> {
    (0..700).chain((700..110_000).step_by(3001))
}

fn a_cut_push_leaves_nothing() {
    let mut source = Memory::with_snapshots(200_000);
    let [mut base, _] = chain(&mut source);
    let stream = bytes(&mut source, &base);
    base.size = size(&mut source, &base).unwrap();
    for (place, (there, back)) in
        places().flat_map(|n| [(n, (n, usize::MAX)), (n, (usize::MAX, n))])
    {
        let memory = Memory::default();
        let mut far = match fragile(&memory, there, back) {
            Ok(far) => far,
            Err(error) => {
                honest(&error, place);
                continue;
            }
        };
        let path = Path::new("base");
        match put(&mut far, &base, path, &stream) {
            Ok(receipt) => assert_eq!(receipt.bytes, stream.len() as u64),
            Err(error) => {
                honest(&error, place);
                // The answer may be lost where the work was done; it is never half done.
                let kept = sound(&mut far).len();
                let aborted = memory.held().aborted;
                assert!(
                    kept + aborted <= 1,
                    "cut at {place}: {kept} kept, {aborted} aborted"
                );
                if kept == 0 {
                    put(&mut far, &base, path, &stream).unwrap();
                }
            }
        }
        assert_eq!(memory.content(path), source.content(path));
    }
}

fn a_cut_pull_is_never_whole() {
    let memory = Memory::with_snapshots(200_000);
    let [mut base, _] = chain(&mut memory.clone());
    let whole = bytes(&mut memory.clone(), &base);
    base.size = size(&mut memory.clone(), &base).unwrap();
    let mut midway = 0;
    for place in places() {
        let pull = || -> Result<(Vec<u8>, io::Result<usize>)> {
            let (mut far, mut got) = (fragile(&memory, usize::MAX, place)?, Vec::new());
            let outcome = far.send(&base)?.read_to_end(&mut got);
            if outcome.is_err() {
                assert!(
                    bytes(&mut far, &base) == whole,
                    "the next try has a new connection"
                );
            }
            Ok((got, outcome))
        };
        match pull() {
            Err(error) => honest(&error, place),
            Ok((got, Ok(_))) => assert!(got == whole, "cut at {place}"),
            Ok((got, Err(error))) => {
                let error = Error::io("", error);
                honest(&error, place);
                let words = format!("lost after {} of {} bytes", got.len(), whole.len());
                assert!(error.to_string().contains(&words), "{error}");
                midway += 1;
            }
        }
    }
    assert!(midway > 20);
}

/// A bucket in memory with a chain of two streams.
fn a_bucket() -> (Objects, [u64; 2]) {
    let objects = Objects::new(10_000);
    let mut store = DiffStore::on(Arc::new(objects.clone()), "p", Access::Write).unwrap();
    let lengths = [(1, None, 300_000), (2, Some(1), 60_000)].map(|(to, from, length)| {
        let bytes = stream(to, from, length);
        let diff = diff(to, from, bytes.len());
        put(&mut store, &diff, Path::new(&format!("s{to}")), &bytes).unwrap();
        bytes.len() as u64
    });
    (objects, lengths)
}

/// What is told grows from nothing, and the sum of all bytes is the same each time. The last of it.
fn grows(told: &[Watched], sum: u64) -> &Watched {
    let told: Vec<&Watched> = told.iter().filter(|far| far.total > 0).collect();
    assert!(told.iter().all(|far| far.total == sum), "{told:?}");
    assert!(told.is_sorted_by_key(|far| far.bytes), "{told:?}");
    assert_eq!((told[0].bytes, &*told[0].what), (0, "s1"));
    told.last().unwrap()
}

fn who_verifies_far_away_tells_how_far_it_is() {
    let (objects, lengths) = a_bucket();
    let make = move || -> Box<dyn Store> {
        Box::new(DiffStore::on(Arc::new(objects.clone()), "p", Access::Read).unwrap())
    };
    let mut far = over(make, Access::Read, Access::Read, pipes).unwrap();
    let mut told = Vec::new();
    let findings = far.inspect(Depth::Download, &mut |far| told.push(far));
    assert_eq!(findings.unwrap().len(), 2);
    // Not every piece is worth a frame.
    assert!(told.len() < 120, "{}", told.len());
    let last = grows(&told, lengths.iter().sum());
    assert_eq!((last.bytes, &*last.what), (last.total, "s2"));
}

fn a_drill_tells_how_far_it_is() {
    let (objects, lengths) = a_bucket();
    let mut store = DiffStore::on(Arc::new(objects), "p", Access::Read).unwrap();
    let mut report = verify::alone(&mut store, Depth::Quick, &mut |_| ()).unwrap();
    let mut told = Vec::new();
    let listener = &mut |event| match event {
        Event::Verifying(far) => told.push(far),
        other => panic!("{other}"),
    };
    let trial = &mut RehearsalTrial::default();
    verify::drill(&mut report, &mut store, trial, None, listener).unwrap();
    // These streams make no tree: what builds on the first is not tried.
    let last = grows(&told, lengths.iter().sum());
    assert!(last.bytes > 0 && last.bytes <= lengths[0] && last.what == "s1");
}
