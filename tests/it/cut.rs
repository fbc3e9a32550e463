//! A network that goes away for good at the first request, at the second, at the third, until it
//! makes no difference: whatever a backup or a restore was doing, the next run ends right.

use crate::proxy::{Fault, Proxy};
use crate::restore;
use crate::runner::Test;
use crate::s3::options;
use crate::scheduled::{Scene, day, store_options};
use crate::servers::{Server, shared};
use crate::subvolumes::script;
use crate::tests;
use buttersink::archive::{Thaw, Tier, Which};
use buttersink::restore::{Compare, RestoreOrder};
use buttersink::s3::S3Options;
use buttersink::snapshot::State;
use buttersink::store::{ArchiveSettings, StoreOptions};
use jiff::ToSpan;
use std::path::Path;
use std::time::Duration;

pub(crate) const TESTS: &[Test] = tests![every_request_of_a_backup, every_request_of_a_restore,];

/// A proxy that lets only so many requests through.
fn after(requests: usize, server: &Server) -> Proxy {
    Proxy::before(server, move |seen| {
        (seen.before >= requests).then_some(Fault::Reset)
    })
}

/// Without patience.
fn hasty(proxy: &Proxy) -> S3Options {
    S3Options {
        silence: Duration::from_secs(5),
        retries: 0,
        ..options(&proxy.endpoint)
    }
}

/// A full backup in two chunks, one of them in parts; an incremental one; and a full one after which
/// the first chain is deleted.
fn every_request_of_a_backup() {
    let scene = Scene::new(
        "seaweedfs",
        "retain_full_chains = 1\npart_size_bytes = 5242880",
    );
    scene.replace("chunk_size_bytes = 150000", "chunk_size_bytes = 5500000");
    scene.replace(&format!(", '{}/home'", scene.from.display()), "");
    script(
        &scene.from.join("data"),
        "head -c 5600000 /dev/urandom >big",
    );
    scene.replace("host 1/", "host 0/");
    for requests in 0.. {
        scene.replace(
            &format!("host {}/", requests.max(1) - 1),
            &format!("host {requests}/"),
        );
        let mut through = 0;
        for number in [0, 7, 28] {
            scene.write(&format!("{requests}-{number}"));
            through += usize::from(cut(&scene, number, requests));
        }
        // Also what should have been deleted and was not is gone now, but for what arrived less than
        // a day ago by the server's clock: another machine may be sending it.
        scene.write("last");
        scene.run(&day(35)).unwrap();
        let listing = scene.listing("data");
        let young = |note: &String| note.contains("left by a run that did not end");
        assert!(listing.notes.iter().all(young), "{:?}", listing.notes);
        let whole = listing
            .snapshots
            .iter()
            .filter(|s| s.state != State::Partial);
        assert_eq!(whole.count(), 2);
        if through == 3 {
            assert!(requests > 10, "{requests}");
            assert_eq!(scene.restore_all("data", "to"), 2);
            return;
        }
        if requests % 8 == 0 {
            let to = format!("to{requests}");
            assert_eq!(scene.restore_all("data", &to), 2);
        }
        let clear = "btrfs -q subvolume delete snapshots/data__*; rm data/d/*";
        script(&scene.from, clear);
        let _ = std::fs::remove_file(scene.order().config.global.state_path);
    }
}

/// Whether it makes no difference.
fn cut(scene: &Scene, number: i64, requests: usize) -> bool {
    let proxy = after(requests, &scene.server);
    let store_options = StoreOptions {
        s3: hasty(&proxy),
        ..store_options(&scene.server)
    };
    let done = scene.run_with(&day(number), &store_options);
    println!("day {number} with {requests} requests: {done:?}");
    let sound = || {
        let mut archive = scene.archive("data");
        let archive = archive.archive().unwrap();
        assert!(archive.broken.is_empty(), "{:?}", archive.broken);
        archive
            .newest()
            .map(|(_, manifest)| manifest.snapshot.name.clone())
    };
    let newest = sound();
    if done.is_ok() {
        assert_eq!(newest, scene.names("data").pop());
    }
    scene
        .run(&day(number).checked_add(1.minute()).unwrap())
        .unwrap();
    let newest = sound();
    assert_eq!(newest, scene.names("data").pop());
    done.is_ok()
}

fn every_request_of_a_restore() {
    let scene = restore::Scene::new(shared("seaweedfs"), &restore::PLAIN);
    for requests in 0.. {
        let target = scene.target(&format!("target{requests}"));
        let done = bring(&scene, &target, &after(requests, &scene.server));
        println!("with {requests} requests: {done:?}");
        match done {
            Ok(()) => {
                assert!(requests > 5);
                return scene.same(3, &target);
            }
            Err(_) => assert!(!target.exists()),
        }
        let whole = Proxy::before(&scene.server, |_| None);
        bring(&scene, &target, &whole).unwrap();
        scene.same(3, &target);
        script(&scene.to, "btrfs -q subvolume delete target* received/?");
    }
}

fn bring(scene: &restore::Scene, target: &Path, proxy: &Proxy) -> buttersink::error::Result<()> {
    let order = RestoreOrder {
        archive: ArchiveSettings {
            bucket: scene.bucket.clone(),
            prefix: "host".to_owned(),
            name: "live".to_owned(),
            origin: "/".into(),
            chunk_size: 1,
            class_chunks: None,
            class_manifest: None,
            spool: None,
        },
        which: Which::Newest,
        target: target.to_owned(),
        base: scene.to.join("received"),
        compare: Compare::None,
        thaw: Thaw {
            tier: Tier::Standard,
            hurry: false,
            wait: true,
            timeout: Duration::from_secs(60),
        },
        dry_run: false,
    };
    let store_options = StoreOptions {
        s3: hasty(proxy),
        ..store_options(&scene.server)
    };
    buttersink::restore::run(&order, &store_options, &mut |_| ())
}
