//! The two halves of ssh over a pair of pipes, without ssh: the suites, permissions, cut
//! connections, and other sides that lie.

use crate::contract::{self, World, bytes, chain, put, sound};
use crate::faults;
use crate::memory::{Memory, noise};
use crate::runner::Test;
use crate::tests;
use buttersink::error::{Error, Kind, Result};
use buttersink::store::remote::{Dial, Pipes, Remote};
use buttersink::store::serve::serve;
use buttersink::store::{Access, Hello, Store};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
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
    names_of_a_lying_server_are_refused,
    a_lying_peer_is_understood_or_refused,
    another_protocol_says_who_upgrades,
    who_cannot_serve_says_why,
    noise_for_a_server_does_no_harm,
    noise_for_a_client_does_no_harm,
];

/// A store that is there already, for [`serve`].
fn opened(memory: &Memory) -> impl FnOnce(&Hello) -> Result<Box<Memory>> {
    let memory = memory.clone();
    move |_| Ok(Box::new(memory))
}

/// A remote store around what `make` makes, over pipes or sockets. The far side is a thread.
pub(crate) fn over<M>(
    make: M,
    needs: Access,
    grants: Access,
    connect: fn() -> Ends,
) -> Result<Remote>
where
    M: Fn() -> Box<dyn Store> + Send + Sync + Clone + 'static,
{
    let dial = move || {
        let Ends(near, far) = connect();
        let make = make.clone();
        std::thread::spawn(move || {
            let outcome = serve(|_| Ok(make()), grants, far.0, far.1);
            println!("the server ended: {outcome:?}");
        });
        Ok(near)
    };
    Remote::connect("far", needs, Hello::here(), Box::new(dial))
}

/// Both ends of a connection.
pub(crate) struct Ends(Pipes, Pipes);

pub(crate) fn pipes() -> Ends {
    let (near_in, far_out) = io::pipe().unwrap();
    let (far_in, near_out) = io::pipe().unwrap();
    Ends(
        (Box::new(near_in), Box::new(near_out)),
        (Box::new(far_in), Box::new(far_out)),
    )
}

fn sockets() -> Ends {
    let (near, far) = UnixStream::pair().unwrap();
    let both = |end: UnixStream| -> Pipes { (Box::new(end.try_clone().unwrap()), Box::new(end)) };
    Ends(both(near), both(far))
}

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
    faults::all(world);
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
    for granted in [Access::Read, Access::Append, Access::Write] {
        let memory = Memory::with_snapshots(1000);
        let mut far = around(&memory, granted);
        let mut sources = Memory::with_snapshots(1000);
        let [full, _] = chain(&mut far);
        let stream = bytes(&mut sources, &full);
        assert!(far.measure(&[full]).is_ok());
        assert_eq!(bytes(&mut far, &full), stream);
        assert_eq!(
            put(&mut far, &full, new, &stream).is_ok(),
            granted >= Access::Append
        );
        assert!(put(&mut far, &full, base, &stream).is_err(), "over another");
        assert_eq!(
            far.copy(base, Path::new("copy")).is_ok(),
            granted >= Access::Append
        );
        assert!(far.copy(Path::new("next"), base).is_err(), "over another");
        let deleted = far.delete(Path::new("next"));
        assert_eq!(deleted.is_ok(), granted == Access::Write);
        if let Err(error) = deleted {
            assert_eq!(error.kind, Kind::Refused);
            assert!(error.to_string().contains("this needs mode w"), "{error}");
        }
        let count = [2, 4, 3][granted as usize];
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
    base.size = source.measure(&[base]).unwrap()[0];
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
    base.size = memory.clone().measure(&[base]).unwrap()[0];
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

/// A frame, put together by hand as the manual page says.
fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_le_bytes();
    [&[kind][..], &length, body].concat()
}

fn hello(protocol: u32) -> Vec<u8> {
    let body = format!(r#"{{"program":"9.9","protocol":{protocol},"mode":"write","future":[]}}"#);
    frame(b'H', body.as_bytes())
}

/// What a client makes of a server that says just this.
fn hears(said: Vec<u8>) -> Result<Remote> {
    let mut said = Some(said);
    let dial = move || -> Result<Pipes> {
        let said = said
            .take()
            .ok_or_else(|| Error::failed("dialing", "only once"))?;
        Ok((Box::new(io::Cursor::new(said)), Box::new(io::sink())))
    };
    Remote::connect("far", Access::Read, Hello::here(), Box::new(dial))
}

fn names_of_a_lying_server_are_refused() {
    for name in ["../x", "/etc/x", "", "a/../x", "a%00b", "a//b"] {
        let mut memory = Memory::with_snapshots(10);
        let mut listing = memory.list().unwrap();
        listing.snapshots[0].path = "NAME".into();
        let body = serde_json::to_string(&listing)
            .unwrap()
            .replace("NAME", name);
        let mut far = hears([hello(1), frame(b'A', body.as_bytes())].concat()).unwrap();
        assert_eq!(far.list().unwrap_err().kind, Kind::Damaged, "{name}");
    }
}

fn a_lying_peer_is_understood_or_refused() {
    let [base, _] = chain(&mut Memory::with_snapshots(10));
    let pull = |rest: &[Vec<u8>]| {
        let said = [&[hello(1), frame(b'A', b"null")], rest].concat().concat();
        let (mut far, mut got) = (hears(said).unwrap(), Vec::new());
        let outcome = far.send(&base).unwrap().read_to_end(&mut got);
        outcome.map(|_| got)
    };
    let (data, end) = (frame(b'D', b"12345"), frame(b'E', br#"{"bytes":5}"#));
    assert_eq!(pull(&[data.clone(), end.clone()]).unwrap(), b"12345");
    assert!(pull(std::slice::from_ref(&data)).is_err(), "no end");
    assert!(
        pull(&[data.clone(), data.clone(), end.clone()]).is_err(),
        "count"
    );
    assert!(
        pull(&[data.clone(), frame(b'D', b""), end.clone()]).is_err(),
        "empty"
    );
    assert!(
        pull(&[data.clone(), frame(b'A', b"null"), end.clone()]).is_err(),
        "turn"
    );
    assert!(
        pull(&[data, frame(b'Z', b"null"), end]).is_err(),
        "unknown kind"
    );
    let greeting = hears(b"Welcome to far!\n".to_vec())
        .err()
        .unwrap()
        .to_string();
    assert!(
        greeting.contains("'Welco'") && greeting.contains("login script"),
        "{greeting}"
    );
    let hostile =
        br#"{"error":{"kind":"usage","doing":"\u001b[2J","said":"x\u202e\ny"},"hangs_up":true}"#;
    let error = hears(frame(b'F', hostile)).err().unwrap();
    assert_eq!(error.to_string(), "far: \\u{1b}[2J: x\\u{202e}\\ny");
    assert_eq!(error.exit_code(), 1);
}

fn another_protocol_says_who_upgrades() {
    let text = hears(hello(2)).err().unwrap().to_string();
    assert!(
        text.contains("upgrade buttersink on this machine"),
        "{text}"
    );
    let text = hears(hello(0)).err().unwrap().to_string();
    assert!(text.contains("upgrade buttersink on far"), "{text}");
    let mut said = Vec::new();
    let error = serve(
        opened(&Memory::default()),
        Access::Write,
        &hello(2)[..],
        &mut said,
    );
    assert!(error.unwrap_err().to_string().contains("upgrade"));
}

fn who_cannot_serve_says_why() {
    let mut said = Vec::new();
    let busy = || Error::new(Kind::Busy, "cannot open /x", "another run holds the lock");
    let open = |_: &Hello| Err::<Box<Memory>, _>(busy());
    serve(open, Access::Write, &hello(1)[..], &mut said).unwrap_err();
    let heard = hears(said).unwrap().list().unwrap_err();
    assert_eq!(
        heard.to_string(),
        "far: cannot open /x: another run holds the lock"
    );
    assert_eq!(heard.exit_code(), 3);
}

/// A conversation that a client might have.
fn conversation() -> Vec<u8> {
    let mut source = Memory::with_snapshots(2000);
    let [base, _] = chain(&mut source);
    let base = serde_json::to_string(&base).unwrap();
    let ask = |text: &str| frame(b'Q', text.as_bytes());
    [
        hello(1),
        ask(r#"{"ask":"list"}"#),
        ask(&format!(r#"{{"ask":"send","diff":{base}}}"#)),
        ask(&format!(r#"{{"ask":"measure","diffs":[{base}]}}"#)),
        ask(&format!(
            r#"{{"ask":"receive","diff":{base},"path":"a%FFb"}}"#
        )),
        frame(b'D', &noise(500)),
        frame(b'E', br#"{"bytes":500}"#),
        ask(r#"{"ask":"delete","path":"base"}"#),
        ask(r#"{"ask":"copy","from":"next","to":"base"}"#),
    ]
    .concat()
}

/// Bytes that differ a little, or altogether, from `sane`; always the same for a seed.
fn spoilt(sane: &[u8], seed: usize) -> Vec<u8> {
    let dice = noise(4000 + seed * 8);
    let dice = &dice[seed * 8..];
    if seed.is_multiple_of(5) {
        return dice[..usize::from(dice[0]) * 8].to_vec();
    }
    let mut bytes = sane.to_vec();
    for change in dice.chunks(4).take(1 + usize::from(dice[1] % 6)) {
        let at = (usize::from(change[0]) << 8 | usize::from(change[1])) % bytes.len().max(1);
        match change[3] % 3 {
            0 if !bytes.is_empty() => bytes[at] = change[2],
            1 => drop(bytes.drain(at..(at + usize::from(change[2])).min(bytes.len()))),
            _ => bytes.truncate(at.max(1)),
        }
    }
    bytes
}

fn noise_for_a_server_does_no_harm() {
    let sane = conversation();
    let mut said = Vec::new();
    serve(
        opened(&Memory::with_snapshots(2000)),
        Access::Write,
        &sane[..],
        &mut said,
    )
    .unwrap();
    for seed in 0..3000 {
        let memory = Memory::with_snapshots(2000);
        let _ = serve(
            opened(&memory),
            Access::Read,
            &spoilt(&sane, seed)[..],
            &mut said,
        );
        assert_eq!(memory.held().kept.len(), 2, "seed {seed}");
        said.clear();
    }
}

fn noise_for_a_client_does_no_harm() {
    let (memory, mut sane) = (Memory::with_snapshots(2000), Vec::new());
    serve(
        opened(&memory),
        Access::Write,
        &conversation()[..],
        &mut sane,
    )
    .unwrap();
    let [base, _] = chain(&mut Memory::with_snapshots(2000));
    let whole = bytes(&mut Memory::with_snapshots(2000), &base);
    for seed in 0..3000 {
        let Ok(mut far) = hears(spoilt(&sane, seed)) else {
            continue;
        };
        let _ = far.list();
        let mut got = Vec::new();
        if let Ok(mut stream) = far.send(&base) {
            match stream.read_to_end(&mut got) {
                Ok(_) => assert_eq!(got.len(), whole.len(), "seed {seed}"),
                Err(_) => assert!(stream.read(&mut [0]).is_err()),
            }
        }
        let _ = far.measure(&[base]);
    }
}
