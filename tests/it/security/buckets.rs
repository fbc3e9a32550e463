//! What buckets, their servers, and whoever reads the logs on the way may get out of us.

use crate::bucket::{Bucket, said};
use crate::proxy::{Fault, Proxy};
use crate::runner::Test;
use crate::s3::{MIB, get, open, put};
use crate::servers::{Server, shared};
use crate::streams::{diff, stream};
use crate::support::*;
use crate::tests;
use buttersink::store::Store;
use std::process::Command;

pub(crate) const TESTS: &[Test] = crate::on_both!["security::buckets::"; no_log_can_be_replayed];

/// One server is enough.
pub(crate) const OWN: &[Test] = tests![
    answers_have_bounds,
    commands_mean_their_key_in_each_shell,
    names_of_archives_are_shown_once
];

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

/// With little memory, and answers that want much.
fn answers_have_bounds() {
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let many = format!(
        "<ListBucketResult>{}</ListBucketResult>",
        "<a/>".repeat(4 << 20)
    );
    let long = format!(
        "<ListBucketResult>{}</ListBucketResult>",
        "x".repeat(64 << 20)
    );
    let deep = "<ListBucketResult>".to_owned() + &"<a>".repeat(1 << 20);
    for body in [many, long, deep] {
        let body: &str = body.leak();
        let proxy = Proxy::before(&server, |_| Some(Fault::Body(body)));
        let mut command = Command::new("prlimit");
        command.args(["--as=400000000"]).arg(binary("buttersink"));
        for (name, value) in bucket.command(&[]).get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let said = said(
            command
                .arg(bucket.url("host/"))
                .env("AWS_ENDPOINT_URL", &proxy.endpoint),
        );
        assert_eq!(said.code, 1);
        assert!(said.stderr.contains("cannot list s3://"), "{}", said.stderr);
        assert_eq!(proxy.count("GET"), 1, "it is not asked again");
    }
}

/// What `list --commands` prints of a key that would do harm where it is pasted.
fn commands_mean_their_key_in_each_shell() {
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let name = "x\u{1b}[201~\ntouch harm; 'q\u{202e}";
    let (diff, bytes) = (diff(1, None, 300), stream(1, None, 300));
    let mut store = open(&server.endpoint, &bucket.name);
    put(&mut store, &diff, name, &bytes).unwrap();
    let listed = bucket.fine(&["list", "--commands", &bucket.url("")]).stdout;
    let lines = listed.lines().map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| line.starts_with("aws ")).collect();
    assert_eq!(lines.len(), 1, "{listed}");
    assert!(lines[0].bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    // The last word but one is where from.
    let instead =
        "aws() { while [ $# -gt 2 ]; do shift; done; printf %s \"$1\"; }; btrfs() { cat; }";
    for shell in ["bash", "zsh"] {
        need(shell);
        let text = format!("{instead}; {}", lines[0]);
        let heard = Command::new(shell)
            .arg("-c")
            .arg(text)
            .current_dir(here())
            .output();
        let heard = String::from_utf8(heard.unwrap().stdout).unwrap();
        let begins = bucket.url(&format!("host/{name}/"));
        assert!(
            heard.starts_with(&begins),
            "{shell}: {heard:?}, not {begins:?}"
        );
        assert!(!here().join("harm").exists());
    }
}

/// What makes a name harmless is not made harmless again, which nobody could read.
fn names_of_archives_are_shown_once() {
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    bucket.put(
        "p\u{9b}/q/subvol/n\u{1b}/full/manifest-20261121T020000Z.json",
        b"{}",
    );
    for (place, path) in [
        ("p\u{9b}/q/", "subvol/n\\u{1b}/full/manifest-"),
        ("", "p\\u{9b}/q/subvol/n\\u{1b}/full/manifest-"),
    ] {
        let said = bucket.run(&["verify", &bucket.url(place)]);
        let begins = format!("different     {path}");
        assert!(
            said.stdout.starts_with(&begins),
            "{begins}, not {}",
            said.stdout
        );
    }
}
