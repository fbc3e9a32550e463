//! What buckets do by themselves with snapshots that are kept there, as real services tell it: their lifecycle
//! rules, put there as anybody would.

use crate::bucket::{command, said};
use crate::runner::Test;
use crate::servers::shared;
use crate::tests;
use crate::two_disks::Scene;

pub(crate) const TESTS: &[Test] = tests![rules_of_a_bucket_of_snapshots];

fn rule(id: &str, prefix: &str, does: &str) -> String {
    format!(
        "<Rule><ID>{id}</ID><Status>Enabled</Status><Filter><Prefix>{prefix}</Prefix></Filter>{does}</Rule>"
    )
}

fn rules_of_a_bucket_of_snapshots() {
    let deletes = rule("old", "snaps/", "<Expiration><Days>30</Days></Expiration>");
    let strange = rule(
        "strange",
        "else/",
        "<Expiration><Days>30</Days></Expiration>",
    );
    let freezes = rule(
        "cold",
        "",
        "<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>",
    );
    let aborts = rule(
        "stop",
        "",
        "<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
    );
    for kind in ["seaweedfs", "ministack", "radosgw"] {
        let server = shared(kind);
        let bucket = server.bucket();
        for rules in [
            vec![&deletes, &strange],
            vec![&freezes],
            vec![&aborts],
            vec![&deletes, &strange, &freezes, &aborts],
        ] {
            let all: String = rules.into_iter().cloned().collect();
            let all = format!("<LifecycleConfiguration>{all}</LifecycleConfiguration>");
            let put = server.ask("PUT", &bucket, "", &[("lifecycle", "")], all.as_bytes());
            let get = server.ask("GET", &bucket, "", &[("lifecycle", "")], b"");
            println!(
                "== {kind} {} {}\n{} {}",
                put.0,
                String::from_utf8_lossy(&put.1),
                get.0,
                String::from_utf8_lossy(&get.1)
            );
        }
    }
    let _ = (command, said, Scene::new);
}
