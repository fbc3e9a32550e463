//! What programs get: each line of a run can be read alone, a run that cannot begin says so, and the examples of
//! the page do what it says.

use crate::documents::text;
use crate::runner::Test;
use crate::subvolumes::{alter, snapshot, subvolume};
use crate::support::{Said, binary, btrfs, buttersink, here, output, skip};
use crate::tests;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

pub(crate) const TESTS: &[Test] = tests![
    each_line_can_be_read_alone,
    a_run_that_cannot_begin_says_so,
    examples_do_what_they_say,
];

/// A subvolume with two snapshots in it, and an empty filesystem.
fn scene() {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    let home = a.join("home");
    subvolume(&home);
    std::fs::create_dir(home.join("snapshot")).unwrap();
    std::fs::create_dir(home.join("d")).unwrap();
    for name in ["monday", "tuesday"] {
        std::fs::write(home.join("d/small"), name).unwrap();
        snapshot(&home, &home.join("snapshot").join(name));
    }
    std::fs::create_dir(b.join("home")).unwrap();
}

fn lines(said: &Said) -> Vec<Value> {
    let lines = said.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn each_line_can_be_read_alone() {
    scene();
    let (home, b) = (here().join("a/home"), here().join("b/home"));
    let (home, b) = (home.to_str().unwrap(), b.to_str().unwrap());
    let said = buttersink(["--json", "backup", "--snapshot-folder", "mine", home, b]);
    let all = lines(&said);
    let kinds: Vec<&Value> = all.iter().map(|line| &line["event"]).collect();
    assert_eq!(kinds, ["snapshot", "step", "destination"]);
    for line in &all {
        assert!(line["time"].as_i64().unwrap() > 1_700_000_000, "{line}");
        assert_eq!(
            (&line["version"], &line["subvolume"]),
            (&2.into(), &home.into())
        );
    }
    assert_eq!(
        (&all[1]["destination"], &all[2]["destination"]),
        (&b.into(), &b.into())
    );
    assert!(all[0]["duration_ms"].is_null());
    assert!(all[1]["duration_ms"].is_u64() && all[2]["duration_ms"].is_u64());
    // No member stands there twice.
    for line in said.stdout.lines() {
        for member in ["subvolume", "destination", "time", "event"] {
            assert!(
                line.matches(&format!("\"{member}\":")).count() < 2,
                "{line}"
            );
        }
    }
    let snaps = format!("{home}/snapshot/");
    let steps = lines(&buttersink(["--json", &snaps, b]));
    assert_eq!(steps.len(), 3);
    for step in &steps {
        assert_eq!(step["destination"], b);
        assert!(step["duration_ms"].is_u64() && step["subvolume"].is_null());
    }
}

fn a_run_that_cannot_begin_says_so() {
    for (words, code, kind) in [
        (&["list", "/none/here/"][..], 1, "failed"),
        (&["clan"], 2, "usage"),
        (&["--frobnicate", "list", "/"], 2, "usage"),
        (&["backup", "/none", "/none/too"], 1, "failed"),
    ] {
        let said = buttersink([words, &["--json"]].concat());
        let [line] = &lines(&said)[..] else {
            panic!("{words:?}: {}", said.stdout);
        };
        assert_eq!((said.code, &line["kind"]), (code, &kind.into()));
        assert_eq!(
            (&line["event"], &line["exit_code"]),
            (&"error".into(), &code.into())
        );
        let error = line["error"].as_str().unwrap();
        assert!(said.stderr.contains(error) && line["time"].is_i64());
        assert_eq!(buttersink(words).stdout, "");
    }
    // What has begun has told of its failure, and its last line is what it was.
    scene();
    let (b, snaps) = (here().join("b/home/"), here().join("a/home/snapshot/"));
    let (b, snaps) = (b.to_str().unwrap(), snaps.to_str().unwrap());
    assert_eq!(buttersink([snaps, b]).code, 0);
    alter(&Path::new(b).join("tuesday"));
    let said = buttersink(["verify", "--json", b]);
    assert_eq!(
        (said.code, &lines(&said).last().unwrap()["event"]),
        (4, &"summary".into())
    );
}

/// The commands of the page's examples, as they are typed.
fn examples() -> Vec<String> {
    let page = text("man/buttersink-json.5");
    let examples = page.split(".Sh EXAMPLES").nth(1).unwrap();
    let commands = examples
        .lines()
        .filter_map(|line| line.strip_prefix(".Dl "));
    let typed = |command: &str| {
        let command = command.replace("\\(aq", "'").replace("\\(dq", "\"");
        command.replace("\\e", "\\")
    };
    commands.map(typed).collect()
}

fn examples_do_what_they_say() {
    if Command::new("jq").arg("--version").output().is_err() {
        skip("needs jq");
    }
    scene();
    let said = |example: &str| {
        let top = here();
        let at = |path: &str| top.join(path).display().to_string();
        let example = example.replace("/home/snapshot/", &at("a/home/snapshot/"));
        let example = example.replace("/mnt/disk/home/", &at("b/home/"));
        let program = binary("buttersink").display().to_string();
        let example = example.replacen("buttersink", &program, 1);
        let output = output(Command::new("sh").args(["-c", &example]));
        assert!(output.status.success(), "{example}");
        String::from_utf8(output.stdout).unwrap()
    };
    let [attention, bytes, arrived, different, refused] = &examples()[..] else {
        panic!("{:?}", examples());
    };
    assert!(said(bytes).trim().parse::<u64>().unwrap() > 100);
    let steps = said(arrived);
    let steps: Vec<Vec<&str>> = steps
        .lines()
        .map(|line| line.split(' ').collect())
        .collect();
    let names: Vec<&str> = steps.iter().map(|step| step[0]).collect();
    assert_eq!(names, ["monday", "tuesday"]);
    assert!(
        steps
            .iter()
            .all(|step| step[1].parse::<u64>().is_ok() && step[2] == "false")
    );
    assert_eq!(
        (said(attention), said(different)),
        (String::new(), String::new())
    );
    alter(&here().join("b/home/tuesday"));
    assert_eq!(said(attention), "tuesday altered\n");
    assert_eq!(said(different), "tuesday\n");
    assert_eq!(
        said(refused),
        "failed: cannot open /mnt/none/: No such file or directory\n"
    );
}
