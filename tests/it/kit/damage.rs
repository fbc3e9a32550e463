//! What every store survives: streams that are not what they should be, and senders that die.
//! Whatever happens, nothing that looks finished is left, and the next try succeeds.

use crate::contract::{Part, World, bytes, chain, put, sound, write};
use buttersink::snapshot::Diff;
use buttersink::store::Store;
use std::io::{self, Read};
use std::path::Path;

/// Runs the whole suite.
pub(crate) fn all(world: &mut dyn World) {
    let parts: [Part; 3] = [
        ("damaged streams are refused", damaged),
        ("another snapshot's stream is refused", mistaken),
        ("a sender that dies leaves nothing", dying),
    ];
    for (name, part) in parts {
        println!("damage: {name}");
        part(world);
    }
}

/// Ways in which a stream can be wrong.
fn wrong(stream: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let half = stream.len() / 2;
    let mut flipped = stream.to_vec();
    flipped[half] ^= 0x10;
    vec![
        ("empty", Vec::new()),
        ("no stream", vec![b'x'; 5000]),
        ("only its magic", stream[..13].to_vec()),
        ("cut in its head", stream[..40].to_vec()),
        ("cut in the middle", stream[..half].to_vec()),
        ("without its END", stream[..stream.len() - 10].to_vec()),
        ("without its last byte", stream[..stream.len() - 1].to_vec()),
        ("one bit flipped", flipped),
        ("started afresh", [&stream[..half], stream].concat()),
        ("twice", [stream, stream].concat()),
        ("with something after it", [stream, b"x"].concat()),
    ]
}

fn damaged(world: &mut dyn World) {
    let mut source = world.source();
    let [base, _] = chain(&mut *source);
    let stream = bytes(&mut *source, &base);
    let mut dest = world.dest();
    for (how, bytes) in wrong(&stream) {
        refused(&mut *dest, &base, how, &bytes);
        assert_eq!(sound(&mut *world.look()), [] as [&Path; 0], "{how}");
    }
    put(&mut *dest, &base, Path::new("base"), &stream).unwrap();
    world.same("base", Path::new("base"));
}

fn refused(dest: &mut dyn Store, diff: &Diff, how: &str, bytes: &[u8]) {
    let error = put(dest, diff, Path::new("base"), bytes);
    let error = error.expect_err(how).to_string();
    println!("{how}: {error}");
    assert!(!error.contains("Broken pipe"), "{how}: {error}");
}

fn mistaken(world: &mut dyn World) {
    let mut source = world.source();
    let [base, next] = chain(&mut *source);
    let stream = bytes(&mut *source, &base);
    let mut dest = world.dest();
    let other = Diff {
        from: None,
        ..next.clone()
    };
    refused(&mut *dest, &other, "of base, not of next", &stream);
    assert_eq!(sound(&mut *world.look()), [] as [&Path; 0]);
    put(&mut *dest, &base, Path::new("base"), &stream).unwrap();
    refused(&mut *dest, &next, "in the place of base", &stream);
    world.same("base", Path::new("base"));
}

/// Delivers its bytes and then fails.
struct Dying<'a>(&'a [u8]);

impl Read for Dying<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf)? {
            0 => Err(io::Error::other("killed")),
            n => Ok(n),
        }
    }
}

fn dying(world: &mut dyn World) {
    let mut source = world.source();
    let [base, _] = chain(&mut *source);
    let stream = bytes(&mut *source, &base);
    let mut dest = world.dest();
    for part in 0..=4 {
        let mut sender = Dying(&stream[..stream.len() * part / 4]);
        let mut sink = dest.receive(&base, Path::new("base")).unwrap();
        let error = io::copy(&mut sender, &mut sink).unwrap_err();
        assert_eq!(error.to_string(), "killed");
        drop(sink);
        assert_eq!(sound(&mut *dest), [] as [&Path; 0], "{part} quarters");
    }
    let mut sink = dest.receive(&base, Path::new("base")).unwrap();
    write(&mut *sink, &stream).unwrap();
    sink.finish().unwrap();
    world.same("base", Path::new("base"));
}
