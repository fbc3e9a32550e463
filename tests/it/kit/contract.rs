//! What every store promises, whatever it is made of. A [`World`] says how to get one.

use buttersink::error::Result;
use buttersink::snapshot::{Diff, Listing, Offer, Size, Snapshot, Uuid};
use buttersink::store::{Receipt, Sink, Store};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The stores that a suite is run on.
pub(crate) trait World {
    /// A store with the snapshots `base` and `next`, a later one of the same subvolume.
    fn source(&mut self) -> Box<dyn Store>;

    /// A store without snapshots; another one each time.
    fn dest(&mut self) -> Box<dyn Store>;

    /// The last destination, opened anew to be read while it may still be open.
    fn look(&mut self) -> Box<dyn Store>;

    /// Panics if the content of `copy` in the last destination is not that of the source's `name`.
    fn same(&mut self, name: &str, copy: &Path);

    /// Whether a destination refuses a diff whose parent it lacks.
    fn wants_parents(&self) -> bool {
        true
    }

    /// Whether listings know the generations of snapshots.
    fn lists_generations(&self) -> bool {
        true
    }

    /// Names that a destination must be able to hold.
    fn names(&self) -> Vec<PathBuf> {
        let names: [&[u8]; 6] = [
            b"with space",
            b"quote'\"`$HOME\\",
            b"line\nbreak",
            b"not \xff\xfe utf-8",
            b"100%41",
            "\u{fc}nic\u{f6}de".as_bytes(),
        ];
        names.map(|name| OsStr::from_bytes(name).into()).to_vec()
    }
}

/// What is promised, and the check of it.
pub(crate) type Part = (&'static str, fn(&mut dyn World));

/// Runs the whole suite.
pub(crate) fn all(world: &mut dyn World) {
    let parts: [Part; 15] = [
        ("lists what is there", lists),
        ("measures to the byte", measures),
        ("streams are whole and end once", streams),
        ("what is not there is refused", unknown),
        ("an abandoned stream does no harm", abandons),
        ("a snapshot exists once it is finished", receives),
        ("a chain arrives", chains),
        ("a parent must be there", parents),
        ("a taken name is refused", taken),
        ("what is held exists once it is published", held),
        ("what is held goes with the store", held_goes),
        ("drop means abort", drops),
        ("names stay inside", bad_names),
        ("every name survives", odd_names),
        ("copies and deletes", copies_and_deletes),
    ];
    for (name, part) in parts {
        println!("contract: {name}");
        part(world);
    }
}

/// The snapshot whose last name is `name`.
pub(crate) fn find(listing: &Listing, name: &str) -> Snapshot {
    let mut found = listing.snapshots.iter().filter(|s| s.path.ends_with(name));
    let first = found
        .next()
        .unwrap_or_else(|| panic!("no {name} in {listing:?}"));
    first.clone()
}

/// The full diff of `base`, and what makes `next` out of it.
pub(crate) fn chain(source: &mut dyn Store) -> [Diff; 2] {
    let listing = source.list().unwrap();
    let (base, next) = (find(&listing, "base").id(), find(&listing, "next").id());
    [diff(base, None), diff(next, Some(base))]
}

pub(crate) fn diff(to: Uuid, from: Option<Uuid>) -> Diff {
    let size = Size::Unknown;
    Diff::new(to, from, size)
}

/// The whole stream.
pub(crate) fn bytes(store: &mut dyn Store, diff: &Diff) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut stream = store.send(diff).unwrap();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Writes a stream and finishes.
pub(crate) fn put(
    store: &mut dyn Store,
    diff: &Diff,
    path: &Path,
    bytes: &[u8],
) -> Result<Receipt> {
    let mut sink = store.receive(diff, path)?;
    write(&mut *sink, bytes)?;
    sink.finish()
}

pub(crate) fn write(sink: &mut dyn Sink, bytes: &[u8]) -> Result<()> {
    for piece in bytes.chunks(100_000) {
        use buttersink::error::Doing;
        sink.write_all(piece).doing(|| "cannot write".into())?;
    }
    Ok(())
}

/// The finished snapshots, by path.
pub(crate) fn sound(store: &mut dyn Store) -> Vec<PathBuf> {
    let listing = store.list().unwrap();
    let sound = listing.snapshots.iter().filter(|s| s.may_be_parent());
    sound.map(|s| s.path.clone()).collect()
}

/// Stores that hold nothing have it at once.
fn held(world: &mut dyn World) {
    let mut source = world.source();
    let mut dest = world.dest();
    dest.list().unwrap();
    dest.hold(true);
    let paths = [Path::new("first"), Path::new("second")];
    let mut waits = Vec::new();
    for (diff, path) in chain(&mut *source).iter().zip(paths) {
        let stream = bytes(&mut *source, diff);
        let receipt = put(&mut *dest, diff, path, &stream).unwrap();
        assert_eq!(receipt.bytes, stream.len() as u64);
        waits.extend(receipt.held.then_some(diff.to));
        let there = sound(&mut *dest).iter().any(|there| there == path);
        assert_ne!(there, receipt.held, "{path:?}");
    }
    assert!(waits.is_empty() || waits.len() == 2);
    assert_eq!(dest.publish().unwrap(), waits);
    assert_eq!(sound(&mut *dest), paths);
    assert!(dest.publish().unwrap().is_empty(), "it is told of once");
    drop(dest);
    assert_eq!(sound(&mut *world.look()), paths);
    for (name, copy) in ["base", "next"].into_iter().zip(paths) {
        world.same(name, copy);
    }
}

fn held_goes(world: &mut dyn World) {
    let mut source = world.source();
    let mut dest = world.dest();
    dest.list().unwrap();
    dest.hold(true);
    let [base, _] = chain(&mut *source);
    let stream = bytes(&mut *source, &base);
    let receipt = put(&mut *dest, &base, Path::new("first"), &stream).unwrap();
    drop(dest);
    assert_eq!(sound(&mut *world.look()).is_empty(), receipt.held);
}

fn offered(source: &mut dyn Store) -> Vec<Diff> {
    let [base, next] = chain(source);
    match source.list().unwrap().offer {
        Offer::AnyPair => {
            let whole = diff(next.to, None);
            vec![base, next, whole]
        }
        Offer::Only(diffs) => diffs,
    }
}

fn lists(world: &mut dyn World) {
    let mut source = world.source();
    let listing = source.list().unwrap();
    for name in ["base", "next"] {
        let snapshot = find(&listing, name);
        assert!(snapshot.may_be_parent(), "{snapshot:?}");
        assert!(snapshot.path.is_relative());
        assert_eq!(snapshot.generation() > 0, world.lists_generations());
    }
    assert_ne!(find(&listing, "base").id(), find(&listing, "next").id());
    assert!(listing.snapshots.is_sorted_by_key(|s| &s.path));
    assert_eq!(source.list().unwrap().snapshots, listing.snapshots);
    assert!(!listing.location.is_empty());
    assert_eq!(sound(&mut *world.dest()), [] as [&Path; 0]);
}

/// What a store says of one diff.
pub(crate) fn size(store: &mut (impl Store + ?Sized), diff: &Diff) -> Result<Size> {
    let mut sizes = store.measure(std::slice::from_ref(diff))?;
    Ok(sizes.remove(&diff.key()).unwrap().size)
}

fn measures(world: &mut dyn World) {
    let mut source = world.source();
    let diffs = offered(&mut *source);
    let sizes: Vec<Size> = diffs
        .iter()
        .map(|diff| size(&mut *source, diff).unwrap())
        .collect();
    assert_eq!(source.measure(&diffs).unwrap().len(), diffs.len());
    let real: Vec<Size> = diffs
        .iter()
        .map(|diff| Size::Exact(bytes(&mut *source, diff).len() as u64))
        .collect();
    assert_eq!(sizes, real);
    assert!(source.measure(&[]).unwrap().is_empty());
    // Asked only whether it is more than this, a store may stop there.
    for (diff, &known) in diffs.iter().zip(&real) {
        let bytes = known.bytes().unwrap();
        let mut limited = |enough| {
            let asked = Size::Beyond(enough);
            size(
                &mut *source,
                &Diff {
                    size: asked,
                    ..diff.clone()
                },
            )
            .unwrap()
        };
        assert_eq!(limited(bytes), known);
        let less = limited(bytes / 2);
        assert!(less == known || less == Size::Beyond(bytes / 2), "{less:?}");
    }
}

fn streams(world: &mut dyn World) {
    let mut source = world.source();
    for diff in offered(&mut *source) {
        let whole = bytes(&mut *source, &diff);
        assert!(whole.starts_with(b"btrfs-stream\0"));
        assert!(whole.ends_with(&[0, 0, 0, 0, 0x15, 0, 0x50, 0x6c, 0xc9, 0x9d]));
        let mut stream = source.send(&diff).unwrap();
        let mut again = Vec::new();
        let mut small = [0; 7];
        while again.len() < whole.len().min(1000) {
            let n = stream.read(&mut small).unwrap();
            again.extend_from_slice(&small[..n]);
        }
        assert_eq!(stream.read(&mut []).unwrap(), 0);
        stream.read_to_end(&mut again).unwrap();
        assert!(again == whole, "two readings differ");
        for _ in 0..2 {
            assert_eq!(stream.read(&mut small).unwrap(), 0, "the end is the end");
        }
    }
}

fn unknown(world: &mut dyn World) {
    let mut source = world.source();
    let [base, _] = chain(&mut *source);
    let nobody = Uuid([0xee; 16]);
    for wrong in [diff(nobody, None), diff(base.to, Some(nobody))] {
        let read = source.send(&wrong).map(|mut stream| {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).map(|_| bytes.len())
        });
        assert!(!matches!(read, Ok(Ok(_))), "sent {wrong:?}");
        assert!(source.measure(&[wrong]).is_err());
    }
    let mut dest = world.dest();
    assert!(dest.delete(Path::new("nothing")).is_err());
    assert!(dest.copy(Path::new("nothing"), Path::new("other")).is_err());
    assert_eq!(sound(&mut *dest), [] as [&Path; 0]);
    bytes(&mut *source, &base);
}

fn abandons(world: &mut dyn World) {
    let mut source = world.source();
    let [base, next] = chain(&mut *source);
    for length in [0, 1, 5000] {
        let mut stream = source.send(&base).unwrap();
        stream.read_exact(&mut vec![0; length]).unwrap();
        drop(stream);
        assert_eq!(chain(&mut *source), [&base, &next].map(Diff::clone));
    }
    bytes(&mut *source, &base);
}

fn receives(world: &mut dyn World) {
    let mut source = world.source();
    let [base, _] = chain(&mut *source);
    let stream = bytes(&mut *source, &base);
    let mut dest = world.dest();
    let path = Path::new("day/one");
    let mut sink = dest.receive(&base, path).unwrap();
    write(&mut *sink, &stream).unwrap();
    sink.flush().unwrap();
    assert_eq!(sound(&mut *world.look()), [] as [&Path; 0], "not yet");
    assert_eq!(sink.finish().unwrap().bytes, stream.len() as u64);
    for listing in [dest.list().unwrap(), world.look().list().unwrap()] {
        let (there, here) = (
            find(&listing, "day/one"),
            find(&source.list().unwrap(), "base"),
        );
        assert_eq!(there.id(), here.id());
        assert_eq!(there.generation(), here.generation());
        assert!(there.may_be_parent(), "{there:?}");
    }
    world.same("base", path);
}

fn chains(world: &mut dyn World) {
    let mut source = world.source();
    let mut dest = world.dest();
    for (diff, name) in chain(&mut *source).iter().zip(["base", "next"]) {
        let stream = bytes(&mut *source, diff);
        put(&mut *dest, diff, Path::new(name), &stream).unwrap();
        world.same(name, Path::new(name));
    }
    assert_eq!(sound(&mut *dest), [Path::new("base"), Path::new("next")]);
}

fn parents(world: &mut dyn World) {
    if !world.wants_parents() {
        return;
    }
    let mut source = world.source();
    let [_, next] = chain(&mut *source);
    let stream = bytes(&mut *source, &next);
    let mut dest = world.dest();
    assert!(put(&mut *dest, &next, Path::new("next"), &stream).is_err());
    assert_eq!(sound(&mut *world.look()), [] as [&Path; 0]);
}

fn taken(world: &mut dyn World) {
    let mut source = world.source();
    let [base, next] = chain(&mut *source);
    let mut dest = world.dest();
    let first = bytes(&mut *source, &base);
    put(&mut *dest, &base, Path::new("base"), &first).unwrap();
    let second = bytes(&mut *source, &next);
    assert!(put(&mut *dest, &next, Path::new("base"), &second).is_err());
    assert_eq!(find(&world.look().list().unwrap(), "base").id(), base.to);
    world.same("base", Path::new("base"));
}

fn drops(world: &mut dyn World) {
    let mut source = world.source();
    let [base, _] = chain(&mut *source);
    let stream = bytes(&mut *source, &base);
    let mut dest = world.dest();
    for length in [0, 1, stream.len() / 2, stream.len() - 1, stream.len()] {
        let mut sink = dest.receive(&base, Path::new("base")).unwrap();
        write(&mut *sink, &stream[..length]).unwrap();
        drop(sink);
        assert_eq!(sound(&mut *dest), [] as [&Path; 0], "after {length} bytes");
    }
    put(&mut *dest, &base, Path::new("base"), &stream).unwrap();
    world.same("base", Path::new("base"));
    assert_eq!(world.look().list().unwrap().snapshots.len(), 1, "leftovers");
}

fn bad_names(world: &mut dyn World) {
    let mut source = world.source();
    let [base, _] = chain(&mut *source);
    let stream = bytes(&mut *source, &base);
    let mut dest = world.dest();
    put(&mut *dest, &base, Path::new("base"), &stream).unwrap();
    for name in [
        "",
        ".",
        "..",
        "/",
        "/tmp/x",
        "../x",
        "a/../../x",
        "a/..",
        "a\0b",
    ] {
        let name = Path::new(name);
        assert!(dest.receive(&base, name).is_err(), "receive {name:?}");
        assert!(
            dest.copy(Path::new("base"), name).is_err(),
            "copy to {name:?}"
        );
        assert!(dest.copy(name, Path::new("new")).is_err(), "copy {name:?}");
        assert!(dest.delete(name).is_err(), "delete {name:?}");
    }
    assert_eq!(sound(&mut *world.look()), [Path::new("base")]);
}

fn odd_names(world: &mut dyn World) {
    let mut source = world.source();
    let [base, _] = chain(&mut *source);
    let stream = bytes(&mut *source, &base);
    for name in world.names() {
        let mut dest = world.dest();
        put(&mut *dest, &base, &name, &stream).unwrap();
        assert_eq!(sound(&mut *world.look()), std::slice::from_ref(&name));
        dest.delete(&name).unwrap();
        assert_eq!(sound(&mut *world.look()), [] as [&Path; 0]);
    }
}

fn copies_and_deletes(world: &mut dyn World) {
    let mut source = world.source();
    let mut dest = world.dest();
    for (diff, name) in chain(&mut *source).iter().zip(["base", "next"]) {
        let stream = bytes(&mut *source, diff);
        put(&mut *dest, diff, Path::new(name), &stream).unwrap();
    }
    let [base, next, copy] = ["base", "next", "copy"].map(Path::new);
    assert!(dest.copy(next, base).is_err(), "over another");
    dest.copy(base, copy).unwrap();
    world.same("base", copy);
    assert_eq!(find(&dest.list().unwrap(), "copy").path, copy);
    dest.delete(copy).unwrap();
    dest.delete(next).unwrap();
    assert!(dest.delete(next).is_err(), "twice");
    assert_eq!(sound(&mut *world.look()), [base]);
    world.same("base", base);
}
