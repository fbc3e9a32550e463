//! Command lines, read as the table has them.

use super::form::Form::{self, *};
use super::grammar::Takes;
use super::options::Options;
use super::parse::Understood;
use super::table::PROGRAM;
use crate::backup::config::Level;
use crate::error::{Error, Result};
use crate::store::Access;
use std::ffi::OsString;

fn read(words: &[&str]) -> Result<Understood<Options, Form>> {
    PROGRAM.read(words.iter().map(OsString::from))
}

/// The form, its words and its options.
#[track_caller]
fn parsed(line: &str) -> (Form, Vec<OsString>, Options) {
    match read(&line.split(' ').collect::<Vec<_>>()).unwrap() {
        Understood::Run(form, words, options) => (form, words, options),
        Understood::Text(text) => panic!("{line}: {text}"),
    }
}

#[track_caller]
fn refused(line: &str) -> Error {
    let words: Vec<_> = line.split(' ').filter(|word| !word.is_empty()).collect();
    let error = read(&words).expect_err(line);
    assert_eq!(error.exit_code(), 2, "{line}");
    error
}

#[test]
fn the_first_words_may_be_a_command() {
    for (line, form, words) in [
        ("/a/", List, &["/a/"][..]),
        ("list /a/", List, &["/a/"]),
        ("./backup", List, &["./backup"]),
        ("./verify", List, &["./verify"]),
        ("a/ b", Sync, &["a/", "b"]),
        ("sync a/ b", Sync, &["a/", "b"]),
        ("sync --resend x a/ b", Resend, &["a/", "b"]),
        ("list --config f", ListConfig, &[]),
        ("backup /a /b /c", Backup, &["/a", "/b", "/c"]),
        ("backup --config f", BackupConfig, &[]),
        ("config check --offline f", CheckConfig, &["f"]),
        ("config init", InitConfig, &[]),
        ("config import", ImportConfig, &[]),
        ("config import f", ImportConfig, &["f"]),
        ("verify --config f --download", VerifyConfig, &[]),
        ("--json verify a --against b --content", Verify, &["a"]),
        ("adopt /d/ one --as /v --yes", Adopt, &["/d/", "one"]),
        ("prune /d/ --keep 7d -n", Prune, &["/d/"]),
        ("status --config f --prometheus g", Status, &[]),
        ("clean --backup a/x --config f", CleanBackup, &[]),
    ] {
        let (found, said, _) = parsed(line);
        assert_eq!(
            (found, said),
            (form, words.iter().map(OsString::from).collect()),
            "{line}"
        );
    }
    for line in [
        "",
        "list",
        "sync a",
        "a b c",
        "-x",
        "--part-size x a",
        "config",
        "config f",
    ] {
        refused(line);
    }
}

#[test]
fn options_stand_anywhere() {
    for line in [
        "-n --exclude x clean --older-than 3d s3://b/",
        "clean s3://b/ --older-than=3d -n --exclude=x",
        "--older-than 3d clean -nq --exclude x s3://b/",
    ] {
        let (form, _, options) = parsed(line);
        let age = options.older_than.map(|age| age.as_hours());
        assert_eq!(
            (form, options.dry_run, age),
            (Clean, true, Some(72)),
            "{line}"
        );
        assert_eq!(options.exclude, ["x"], "{line}");
    }
}

/// Every option of every command, and every option that a command does not have.
#[test]
fn a_command_has_its_options_and_no_other() {
    for command in PROGRAM.commands {
        for usage in command.usages {
            for option in PROGRAM.options() {
                let name = format!("--{}", option.name.long);
                let own = PROGRAM
                    .options()
                    .filter(|o| o.name.long == option.name.long);
                let own = own.filter(|o| o.of.contains(&usage.form)).count();
                assert!(own <= 1, "{}: two options {name}", command.name);
                if matches!(option.takes, Takes::Help | Takes::Version) {
                    continue;
                }
                let mut words = vec![OsString::from(&name)];
                words.extend(option.name.value.map(|_| "10".into()));
                let mut line: Vec<OsString> = command.name.split(' ').map(OsString::from).collect();
                if let Some(when) = usage.when.filter(|when| *when != option.name.long) {
                    line.extend([format!("--{when}").into(), "f".into()]);
                }
                line.extend(words);
                line.extend((0..usage.count.0).map(|_| OsString::from("/a")));
                let said = PROGRAM.read(line.clone());
                let words = said.map(drop).map_err(|error| error.said);
                let refusal = format!("has no option {name}: '");
                let chooses = command
                    .usages
                    .iter()
                    .any(|u| u.when == Some(option.name.long));
                match own {
                    1 => assert!(
                        !words.is_err_and(|said| said.contains("no option")),
                        "{line:?}"
                    ),
                    // It chooses another way, which wants other words.
                    _ if chooses => {}
                    _ => assert!(words.is_err_and(|said| said.contains(&refusal)), "{line:?}"),
                }
            }
        }
    }
}

/// Where a name means two things, whether a value follows is known before the command is.
#[test]
fn equal_names_take_the_same() {
    for one in PROGRAM.options() {
        for other in PROGRAM.options().filter(|o| o.name.long == one.name.long) {
            assert_eq!(one.name.value.is_some(), other.name.value.is_some());
            assert_eq!(one.name.short, other.name.short);
        }
        assert!(!one.name.help.is_empty() && !one.name.help.ends_with('.'));
    }
}

#[test]
fn a_refusal_names_who_has_it() {
    for (line, said) in [
        (
            "list --compare /a",
            "'list' has no option --compare: 'sync', 'backup' have it",
        ),
        ("clean -e /a", "'clean' has no option -e: 'sync' has it"),
        (
            "clean --backup a/x /a",
            "'clean' has no option --backup: 'clean --config' has it",
        ),
        (
            "list --config f --exclude x",
            "'list --config' has no option --exclude: 'sync', 'list',",
        ),
        ("-d --resend x /a/ /b", "'sync --resend' has no option -d"),
        (
            "list --exlude x /a",
            "there is no option --exlude; did you mean --exclude?",
        ),
        (
            "lsit /a",
            "there is no command 'lsit'; did you mean 'list'?",
        ),
        (
            "restor --config f",
            "there is no command 'restor'; did you mean 'restore'?",
        ),
        (
            "clean",
            "it is buttersink clean [options] LOCATION, or buttersink clean [options] --config",
        ),
        ("list a b", "'b' is one word too many"),
        ("config", "it needs another word"),
    ] {
        let error = refused(line).said;
        assert!(error.contains(said), "{line}: {error}");
    }
}

#[test]
fn values_are_looked_at() {
    for line in [
        "clean --older-than 3 a",
        "backup --num-backups 0 /a /b",
        "backup --keep x /a /b",
        "backup --keep 7d --keep-min 30 /a /b",
        "backup --keep 12m --keep-min 6m /a /b",
        "backup --num-snapshots -1 /a /b",
        "backup --config",
        "backup --config /c /srv",
        "backup --config /c --log-level loud",
        "backup --config /c --keep 1d",
        "backup --config=/c --estimate",
        "restore --at yesterday",
        "restore --verify some",
        "restore --restore-tier Fast",
        "restore --restore-timeout 0",
        "restore --delete",
        "restore place",
        "verify --sample 0 --drill a",
        "verify a b",
        "verify -d a",
        "config check --json",
    ] {
        refused(line);
    }
}

#[test]
fn the_old_programs_words() {
    let (form, words, o) = parsed("-n -d -e -q -l /log --part-size 50 /a/ s3://b/p/");
    assert_eq!((form, words.len(), o.part_size), (Sync, 2, Some(50 << 20)));
    assert!(o.dry_run && o.delete && o.estimate && o.quiet == 1);
    let (form, _, o) =
        parsed("backup --latest-only --num-backups 5 --snapshot-folder s -d /home /b");
    assert_eq!(
        (form, o.num_snapshots, o.num_backups, o.debug),
        (Backup, Some(1), Some(5), true)
    );
    let (form, _, o) = parsed(
        "backup --config /c.toml --log-level critical --dry-run --subvolume a --subvolume b --once --no-s3",
    );
    assert_eq!((form, o.log_level), (BackupConfig, Some(Level::Error)));
    assert!(o.dry_run && o.once && o.no_s3 && o.subvolume == ["a", "b"]);
    let (form, _, o) = parsed(
        "restore --config /c --subvolume d --target /t --manifest-key k --verify none --restore-timeout 60 --no-wait-restore",
    );
    assert_eq!((form, o.manifest_key.as_deref()), (Restore, Some("k")));
    assert_eq!((o.wait_restore, o.restore_timeout), (Some(false), Some(60)));
    let (form, words, o) = parsed("--server --mode w /bak/");
    assert_eq!((form, o.mode), (Server, Some(Access::Write)));
    assert_eq!(words, ["/bak/"]);
}

#[test]
fn help_is_of_the_command() {
    for (line, begin) in [
        ("--help", "buttersink synchronises"),
        ("-h x y", "buttersink synchronises"),
        ("list --help", "buttersink list "),
        ("--help list", "buttersink list "),
        ("-n backup --config f -h", "buttersink backup "),
        ("config --help", "buttersink config "),
        ("config check --help", "buttersink config check "),
        ("-V", "buttersink "),
    ] {
        match read(&line.split(' ').collect::<Vec<_>>()).unwrap() {
            Understood::Text(text) => assert!(text.starts_with(begin), "{line}: {text}"),
            Understood::Run(form, ..) => panic!("{line}: {form:?}"),
        }
    }
}

/// All of these could stand where a wildcard of sudo does.
#[test]
fn servers_take_no_word_more() {
    let (_, words, options) =
        parsed("--server --strict --as host1 --receive-with builtin --mode a /b/");
    assert_eq!(
        (words, options.as_client),
        (vec!["/b/".into()], Some("host1".into()))
    );
    for line in [
        "--server",
        "--mode r /b/",
        "--mode r --server /b/",
        "-l /x --server --mode r /b/",
        "--server --mode r",
        "--server --mode x /b/",
        "--server --mode a --mode w /b/",
        "--server --receive-with x --mode a /b/",
        "--server --mode a /b/ --receive-with btrfs",
        "--server --mode a /b/ --mode w",
        "--server --mode a /b/ --as root",
        "--server --mode a /b/ /c/",
        "--server --mode a /b/ --",
        "--server --mode a /b/ -l /etc/cron.d/x",
        "--server --mode a -l /etc/cron.d/x /b/",
        "--server --mode a --exclude x /b/",
        "--server --mode a --max-bytes x /b/",
        "--server --mode a --max-bytes 1 --max-bytes 2 /b/",
        "--server --mode a /b/ --max-snapshots 2",
        "--server --strict --strict --mode a /b/",
        "--server --server --mode a /b/",
        "--server --help",
        "--server --mode w /b/ -n",
    ] {
        refused(line);
    }
}
