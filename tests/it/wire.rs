//! Other sides that lie, are old, cannot serve, or make noise. The frames are put together by hand.

use crate::contract::{bytes, chain};
use crate::memory::Memory;
use crate::pipes::opened;
use crate::runner::Test;
use crate::streams::noise;
use crate::tests;
use buttersink::error::{Error, Kind, Result};
use buttersink::proof::Depth;
use buttersink::snapshot::{Diff, Listing, Pair, Size, Sizes};
use buttersink::store::remote::{Pipes, Remote};
use buttersink::store::serve::serve;
use buttersink::store::{Access, Hello, Sink, Store};
use std::cell::RefCell;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

pub(crate) const TESTS: &[Test] = tests![
    names_of_a_lying_server_are_refused,
    a_lying_peer_is_understood_or_refused,
    another_protocol_says_who_upgrades,
    the_old_protocol_is_served,
    an_old_server_hears_its_own_protocol,
    who_cannot_serve_says_why,
    a_listing_that_fails_ends_no_session,
    bounds_are_asked_of_who_has_the_word,
    noise_for_a_server_does_no_harm,
    noise_for_a_client_does_no_harm,
];

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
        let mut far = hears([hello(3), frame(b'A', body.as_bytes())].concat()).unwrap();
        assert_eq!(far.list().unwrap_err().kind, Kind::Damaged, "{name}");
    }
}

fn a_lying_peer_is_understood_or_refused() {
    let [base, _] = chain(&mut Memory::with_snapshots(10));
    let pull = |rest: &[Vec<u8>]| {
        let said = [&[hello(3), frame(b'A', b"null")], rest].concat().concat();
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
    let text = hears(hello(4)).err().unwrap().to_string();
    assert!(
        text.contains("upgrade buttersink on this machine"),
        "{text}"
    );
    let text = hears(hello(1)).err().unwrap().to_string();
    assert!(text.contains("upgrade buttersink on far"), "{text}");
    let mut said = Vec::new();
    let error = serve(
        opened(&Memory::default()),
        Access::Write,
        &hello(4)[..],
        &mut said,
    );
    assert!(error.unwrap_err().to_string().contains("upgrade"));
}

/// The frames that a server said, as letters and texts.
fn frames(mut said: &[u8]) -> Vec<(char, String)> {
    let mut all = Vec::new();
    while let [kind, a, b, c, d, rest @ ..] = said {
        let (body, after) = rest.split_at(u32::from_le_bytes([*a, *b, *c, *d]) as usize);
        all.push((
            char::from(*kind),
            String::from_utf8_lossy(body).into_owned(),
        ));
        said = after;
    }
    all
}

fn the_old_protocol_is_served() {
    let mut said = Vec::new();
    let memory = Memory::with_snapshots(2000);
    let talk = [
        conversation(2),
        frame(b'Q', br#"{"ask":"inspect","depth":"quick"}"#),
    ]
    .concat();
    serve(opened(&memory), Access::Write, &talk[..], &mut said).unwrap();
    let said = frames(&said);
    let kinds: String = said
        .iter()
        .map(|(kind, _)| *kind)
        .filter(|&kind| kind != 'D')
        .collect();
    assert_eq!(kinds, "HAAEAAFAAF", "{said:?}");
    assert!(said[0].1.contains(r#""protocol":2"#), "{}", said[0].1);
    let sizes = r#"[{"exact":"#;
    assert!(
        said.iter().any(|(_, text)| text.starts_with(sizes)),
        "{said:?}"
    );
    let (memory, mut new) = (Memory::with_snapshots(2000), Vec::new());
    serve(
        opened(&memory),
        Access::Write,
        &conversation(3)[..],
        &mut new,
    )
    .unwrap();
    let sizes = r#"[{"size":{"exact":"#;
    assert!(
        frames(&new).iter().any(|(_, text)| text.starts_with(sizes)),
        "no sizes"
    );
    let (_, refusal) = said.last().unwrap();
    assert!(
        refusal.contains("upgrade buttersink on the client"),
        "{refusal}"
    );
}

/// A server that knows nothing but protocol 2, as the releases before this one.
fn an_old_server_hears_its_own_protocol() {
    let mut dialed = 0;
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let ears = heard.clone();
    let dial = move || -> Result<Pipes> {
        dialed += 1;
        let mut listing = Memory::with_snapshots(10);
        let listing = serde_json::to_vec(&listing.list().unwrap()).unwrap();
        let said = match dialed {
            1 => hello(2),
            _ => [
                hello(2),
                frame(b'A', &listing),
                frame(b'A', br#"[{"exact":5}]"#),
            ]
            .concat(),
        };
        Ok((Box::new(io::Cursor::new(said)), Box::new(Ear(ears.clone()))))
    };
    let mut far = Remote::connect("far", Access::Read, Hello::here(), Box::new(dial)).unwrap();
    assert_eq!(far.list().unwrap().snapshots.len(), 2);
    let [base, _] = chain(&mut Memory::with_snapshots(10));
    let sizes = far.measure(std::slice::from_ref(&base)).unwrap();
    assert_eq!(sizes[&base.key()].size, Size::Exact(5));
    let error = far.inspect(Depth::Quick, &mut |_| ()).unwrap_err();
    assert!(error.said.contains("upgrade buttersink on far"), "{error}");
    let heard = frames(&heard.lock().unwrap());
    let protocols: Vec<_> = ["\"protocol\":3", "\"protocol\":2"].to_vec();
    for (frame, protocol) in heard.iter().zip(protocols) {
        assert!(frame.1.contains(protocol), "{frame:?}");
    }
    let kinds: String = heard.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, "HHQQ");
}

/// Remembers what is said to it.
struct Ear(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl io::Write for Ear {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn who_cannot_serve_says_why() {
    let mut said = Vec::new();
    let busy = || Error::new(Kind::Busy, "cannot open /x", "another run holds the lock");
    let open = |_: &Hello| Err::<Box<Memory>, _>(busy());
    serve(open, Access::Write, &hello(3)[..], &mut said).unwrap_err();
    let heard = hears(said).unwrap().list().unwrap_err();
    assert_eq!(
        heard.to_string(),
        "far: cannot open /x: another run holds the lock"
    );
    assert_eq!(heard.exit_code(), 3);
}

/// A store whose first listing fails, and whose diffs are short. It remembers what it was told to begin.
#[derive(Default)]
struct OnceUnlisted(Memory, bool, Rc<RefCell<Vec<Vec<Pair>>>>);

impl Store for OnceUnlisted {
    fn list(&mut self) -> Result<Listing> {
        match std::mem::replace(&mut self.1, true) {
            false => Err(Error::failed("cannot list", "not now")),
            true => self.0.list(),
        }
    }

    fn measure(&mut self, diffs: &[Diff]) -> Result<Sizes> {
        self.0.measure(diffs)
    }

    fn less_than_whole(&mut self, _: &Diff) -> Result<Option<u64>> {
        Ok(Some(5))
    }

    fn expect(&mut self, next: &[Diff]) {
        let pairs = next.iter().map(Diff::pair);
        self.2.borrow_mut().push(pairs.collect());
    }

    fn send(&mut self, diff: &Diff) -> Result<Box<dyn Read + '_>> {
        self.0.send(diff)
    }

    fn receive(&mut self, diff: &Diff, path: &Path) -> Result<Box<dyn Sink + '_>> {
        self.0.receive(diff, path)
    }

    fn copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        self.0.copy(from, to)
    }

    fn delete(&mut self, path: &Path) -> Result<()> {
        self.0.delete(path)
    }
}

/// What a server of a second connection cannot list is a request that failed, and not the end.
fn a_listing_that_fails_ends_no_session() {
    let open = |_: &Hello| Ok(Box::<OnceUnlisted>::default());
    let ask = frame(b'Q', br#"{"ask":"measure","diffs":[]}"#);
    let talk = [hello(3), ask.clone(), ask].concat();
    let mut said = Vec::new();
    serve(open, Access::Write, &talk[..], &mut said).unwrap();
    let kinds: String = frames(&said).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, "HFA");
}

/// What a server is certain of need not be measured, and who does not know the question is not asked. Its stream
/// begins meanwhile, and ends if something else is asked for.
fn bounds_are_asked_of_who_has_the_word() {
    let [_, next] = chain(&mut Memory::with_snapshots(10));
    let begun = Rc::default();
    let open = |_: &Hello| {
        Ok(Box::new(OnceUnlisted(
            Memory::default(),
            true,
            Rc::clone(&begun),
        )))
    };
    let diff = serde_json::to_string(&next).unwrap();
    let ask = format!(r#"{{"ask":"less-than-whole","diff":{diff}}}"#);
    let ours = frame(b'H', &serde_json::to_vec(&Hello::here()).unwrap());
    let list = frame(b'Q', br#"{"ask":"list"}"#);
    let talk = [ours, frame(b'Q', ask.as_bytes()), list].concat();
    let mut said = Vec::new();
    serve(open, Access::Read, &talk[..], &mut said).unwrap();
    assert_eq!(*begun.borrow(), [vec![next.pair()], vec![]]);
    let bound = |said| hears(said).unwrap().less_than_whole(&next).unwrap();
    assert_eq!(bound(said), Some(5));
    assert_eq!(bound([hello(3), frame(b'A', b"5")].concat()), None);
}

/// A conversation that a client might have.
fn conversation(protocol: u32) -> Vec<u8> {
    let mut source = Memory::with_snapshots(2000);
    let [base, _] = chain(&mut source);
    let base = serde_json::to_string(&base).unwrap();
    let ask = |text: &str| frame(b'Q', text.as_bytes());
    [
        hello(protocol),
        ask(r#"{"ask":"list"}"#),
        ask(&format!(r#"{{"ask":"send","diff":{base}}}"#)),
        ask(&format!(r#"{{"ask":"measure","diffs":[{base}]}}"#)),
        ask(&format!(
            r#"{{"ask":"receive","diff":{base},"path":"a%FFb"}}"#
        )),
        frame(b'D', &noise(1, 500)),
        frame(b'E', br#"{"bytes":500}"#),
        ask(r#"{"ask":"delete","path":"base"}"#),
        ask(r#"{"ask":"copy","from":"next","to":"base"}"#),
    ]
    .concat()
}

/// Bytes that differ a little, or altogether, from `sane`; always the same for a seed.
fn spoilt(sane: &[u8], seed: usize) -> Vec<u8> {
    let dice = noise(1, 4000 + seed * 8);
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
    let sane = conversation(3);
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
        &conversation(3)[..],
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
        let _ = far.measure(std::slice::from_ref(&base));
    }
}
