//! What buckets, their servers, and whoever reads the logs on the way may get out of us.

use crate::runner::Test;
use crate::s3::{MIB, get, open, put};
use crate::s3_faults::Proxy;
use crate::servers::{Server, shared};
use crate::streams::{diff, stream};
use buttersink::store::Store;

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        &[$(
            (concat!("security::buckets::", stringify!($name), "_seaweedfs"), || $name(&shared("seaweedfs"))),
            (concat!("security::buckets::", stringify!($name), "_radosgw"), || $name(&shared("radosgw"))),
        )*]
    };
}

pub(crate) const TESTS: &[Test] = on_both![no_log_can_be_replayed];

/// The address of every request of an upload, a download, a listing and a removal, asked again
/// without keys, as whoever reads a log can.
fn no_log_can_be_replayed(server: &Server) {
    let bucket = server.bucket();
    let proxy = Proxy::before(server, |_| None);
    let mut store = open(&proxy.endpoint, &bucket);
    for (n, length) in [(1, 300), (2, 11 * MIB)] {
        let (diff, bytes) = (diff(n, None, length), stream(n, None, length));
        put(&mut store, &diff, &format!("s{n}"), &bytes).unwrap();
        store.list().unwrap();
        assert_eq!(get(&mut store, &diff).unwrap().len(), length);
    }
    let last = store.list().unwrap().snapshots[0].path.clone();
    store.delete(&last).unwrap();
    let seen = proxy.seen.lock().unwrap().clone();
    let of = |method: &str| seen.iter().filter(|line| line.starts_with(method)).count();
    assert!(
        of("PUT") > 2 && of("GET") > 2 && of("POST") > 1,
        "{seen:#?}"
    );
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .new_agent();
    for line in &seen {
        assert!(!line.to_ascii_lowercase().contains("x-amz-"), "{line}");
        let (method, target) = line.split_once(' ').unwrap();
        let request = ureq::http::Request::builder().method(method);
        let request = request.uri(format!("{}{target}", server.endpoint));
        let answer = match method {
            "PUT" | "POST" => agent.run(request.body(&b"EVIL"[..]).unwrap()),
            _ => agent.run(request.body(()).unwrap()),
        };
        assert_eq!(answer.unwrap().status(), 403, "{line}");
    }
}
