//! A bucket of a real server, and `buttersink` that uses it.

use crate::servers::{KEY, SECRET, Server};
use crate::support::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// A server, a bucket there, and what programs need to know to use it.
pub(crate) struct Bucket<'a> {
    pub(crate) server: &'a Server,
    pub(crate) name: String,
}

impl<'a> Bucket<'a> {
    pub(crate) fn new(server: &'a Server) -> Bucket<'a> {
        let name = server.bucket();
        Bucket { server, name }
    }

    /// `s3://BUCKET/PREFIX`
    pub(crate) fn url(&self, prefix: &str) -> String {
        format!("s3://{}/{prefix}", self.name)
    }

    /// `buttersink ARGS…`, not started yet.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        command(&self.server.endpoint, args)
    }

    /// Runs it to its end, whatever that is.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        said(&mut self.command(args))
    }

    /// Runs it, and it must succeed.
    #[track_caller]
    pub(crate) fn fine(&self, args: &[&str]) -> Said {
        let said = self.run(args);
        assert_eq!(said.code, 0, "buttersink {args:?}");
        said
    }

    /// The one line that a run with `--json` prints.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let said = self.fine(&[&["--json"], args].concat());
        serde_json::from_str(&said.stdout).unwrap()
    }

    /// The keys that begin so, in order.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        let query = [("list-type", "2"), ("prefix", prefix)];
        let (status, body) = self.server.ask("GET", &self.name, "", &query, b"");
        assert_eq!(status, 200);
        let mut keys = elements(&String::from_utf8(body).unwrap(), "Key");
        keys.sort();
        keys
    }

    /// Every diff below the prefix: for its TO the FROMs, as keys have them.
    pub(crate) fn diffs(&self, prefix: &str) -> BTreeMap<String, Vec<String>> {
        let mut diffs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for key in self.keys(prefix) {
            if let Some((to, from)) = key.rsplit('/').next().unwrap().split_once('_') {
                let froms = diffs.entry(to.to_owned()).or_default();
                froms.push(from.to_owned());
            }
        }
        diffs
    }

    /// The numbers of the parts of every unfinished upload.
    pub(crate) fn unfinished(&self) -> Vec<Vec<u64>> {
        let ask = |key: &str, query: &[(&str, &str)]| {
            let (status, body) = self.server.ask("GET", &self.name, key, query, b"");
            assert_eq!(status, 200);
            String::from_utf8(body).unwrap()
        };
        let page = ask("", &[("uploads", "")]);
        let (keys, ids) = (elements(&page, "Key"), elements(&page, "UploadId"));
        let parts = |(key, id): (String, String)| {
            let page = ask(&key, &[("uploadId", &id)]);
            let mut numbers: Vec<u64> = elements(&page, "PartNumber")
                .iter()
                .map(|number| number.parse().unwrap())
                .collect();
            numbers.dedup();
            numbers
        };
        keys.into_iter().zip(ids).map(parts).collect()
    }

    pub(crate) fn put(&self, key: &str, body: &[u8]) {
        assert_eq!(self.server.plain("PUT", &self.name, key, body).0, 200);
    }

    #[track_caller]
    pub(crate) fn get(&self, key: &str) -> Vec<u8> {
        let (status, body) = self.server.plain("GET", &self.name, key, b"");
        assert_eq!(status, 200, "{key}");
        body
    }
}

/// `buttersink ARGS…` with keys for the servers, and nothing of this machine's own configuration.
pub(crate) fn command(endpoint: &str, args: &[&str]) -> Command {
    let mut command = Command::new(binary("buttersink"));
    let own = std::env::vars_os().map(|(name, _)| name);
    for name in own.filter(|name| {
        let name = name.to_string_lossy().to_ascii_uppercase();
        name.starts_with("AWS_") || name.ends_with("_PROXY")
    }) {
        command.env_remove(name);
    }
    command
        .args(args)
        .env("HOME", here())
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_ENDPOINT_URL", endpoint);
    command
}

pub(crate) fn said(command: &mut Command) -> Said {
    let output = output(command);
    let said = Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    assert!(!(said.stdout.clone() + &said.stderr).contains(SECRET));
    said
}

/// How many parts have arrived by now, as a debug log says.
pub(crate) fn arrived(log: &Path) -> usize {
    let text = std::fs::read_to_string(log).unwrap();
    assert!(!text.contains(SECRET));
    let lines = text.lines();
    lines
        .filter(|line| line.contains(" part ") && line.ends_with(" arrived"))
        .count()
}

/// What stands in the elements of this name.
fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let after = xml.split(&open).skip(1);
    let texts = after.filter_map(|rest| Some(rest.split_once(&close)?.0));
    texts
        .map(|text| text.replace("&amp;", "&").replace("&#34;", "\""))
        .collect()
}
