//! What buckets do by themselves with snapshots that are kept there, as real services tell it: their lifecycle
//! rules, put there as anybody would.

use crate::bucket::{command, said};
use crate::runner::Test;
use crate::servers::{Server, shared};
use crate::tests;
use crate::two_disks::Scene;
use serde_json::Value;

pub(crate) const TESTS: &[Test] = tests![
    rules_of_a_bucket_of_snapshots_on_seaweedfs,
    rules_of_a_bucket_of_snapshots_on_radosgw,
    rules_of_a_bucket_of_snapshots_on_ministack,
];

/// A rule for keys that begin so, and what is said of it; `None` if it is nothing to who keeps snapshots there.
struct Known {
    id: &'static str,
    filter: &'static str,
    does: &'static str,
    hurts: bool,
    words: Option<&'static str>,
}

const DELETES: Known = Known {
    id: "old",
    filter: "<Prefix>snaps/</Prefix>",
    does: "<Expiration><Days>30</Days></Expiration>",
    hurts: true,
    words: Some(
        "'old' deletes what begins with snaps/ after 30 days: backups are lost by that, with all that is built on them",
    ),
};
const STRANGE: Known = Known {
    id: "strange",
    filter: "<Prefix>else/</Prefix>",
    words: None,
    ..DELETES
};
const ABORTS: Known = Known {
    id: "stop",
    filter: "<Prefix></Prefix>",
    does: "<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
    hurts: true,
    words: Some(
        "'stop' removes uploads after 7 days: an upload that takes longer is never finished",
    ),
};
const FREEZES: Known = Known {
    id: "cold",
    filter: "<Prefix></Prefix>",
    does: "<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>",
    hurts: true,
    words: Some(
        "'cold' moves everything to GLACIER after 1 day: what stands beside streams must be thawed",
    ),
};
const FREEZES_STREAMS: Known = Known {
    id: "large",
    filter: "<ObjectSizeGreaterThan>1048576</ObjectSizeGreaterThan>",
    hurts: false,
    words: Some("'large' moves everything to GLACIER after 1 day: these streams must be thawed"),
    ..FREEZES
};

fn put(server: &Server, bucket: &str, rules: &[&Known]) {
    let text = |rule: &&Known| {
        format!(
            "<Rule><ID>{}</ID><Status>Enabled</Status><Filter>{}</Filter>{}</Rule>",
            rule.id, rule.filter, rule.does
        )
    };
    let rules: String = rules.iter().map(text).collect();
    let all = format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
    let (status, body) = server.ask("PUT", bucket, "", &[("lifecycle", "")], all.as_bytes());
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
}

/// What `config check` finds in a bucket that has these rules.
fn found(kind: &'static str, rules: &[&Known]) {
    let server = shared(kind);
    let bucket = server.bucket();
    put(&server, &bucket, rules);
    let scene = Scene::new(&format!(
        "[[subvolume]]\npath = 'FROM/home'\n[[destination]]\nlocation = 's3://{bucket}/snaps/'\n\
         region = 'us-east-1'\nendpoint_url = '{}'\n",
        server.endpoint
    ));
    let words = ["config", "check", "--json", scene.config.to_str().unwrap()];
    let said = said(&mut command(&server.endpoint, &words));
    let all: Value = serde_json::from_str(&said.stdout).unwrap();
    let (findings, remarks) = (&all["findings"], &all["files"][0]["remarks"]);
    println!("{findings:#} {remarks:#}");
    assert_eq!(said.code, 0, "rules are no error");
    let about = |id: &str| format!("the bucket's rule '{id}' ");
    let harmful = |line: &Value| line["kind"] == "lifecycle" && line["fails"] == false;
    let harmful = findings.as_array().unwrap().iter().filter(|f| harmful(f));
    let harmful: Vec<_> = harmful.map(|f| f["words"].as_str().unwrap()).collect();
    let remarks = remarks.as_array().unwrap().iter();
    let remarks: Vec<_> = remarks.map(|line| line.as_str().unwrap()).collect();
    for rule in rules {
        let (here, there) = match rule.hurts {
            true => (&harmful, &remarks),
            false => (&remarks, &harmful),
        };
        let is_it = |line: &&&str| line.starts_with(&about(rule.id));
        assert!(!there.iter().any(|line| is_it(&line)), "{}", rule.id);
        match (here.iter().find(is_it), rule.words) {
            (None, None) => {}
            (Some(line), Some(words)) => assert!(line.contains(words), "{line}"),
            (found, _) => panic!("{}: {found:?}", rule.id),
        }
    }
}

/// It refuses rules that move objects to another class.
fn rules_of_a_bucket_of_snapshots_on_seaweedfs() {
    found("seaweedfs", &[&DELETES, &STRANGE, &ABORTS]);
}

fn rules_of_a_bucket_of_snapshots_on_radosgw() {
    found("radosgw", &[&DELETES, &STRANGE, &ABORTS, &FREEZES]);
}

fn rules_of_a_bucket_of_snapshots_on_ministack() {
    let all = [&DELETES, &STRANGE, &ABORTS, &FREEZES, &FREEZES_STREAMS];
    found("ministack", &all);
}
