//! What can be asked for, what each question needs, and which names it may have in it. Does no input or
//! output.

use crate::error::{Error, Result};
use crate::proof::Depth;
use crate::snapshot::{Diff, Origin, Uuid, path_text};
use crate::store::file_digests::{Digest, Extent, PAGE};
use crate::store::wire::{BOUND, CLONES, HOLD, Hello, plain};
use crate::store::{Access, Right};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

/// A snapshot that was received in a session: what it is, and its path. Others may claim to be the same.
pub(crate) type Added = (Uuid, PathBuf);

/// What a client can ask for: the methods of [`crate::store::Store`].
///
/// An optional member that is added later is an `Option` that is left out when it is `None`, and a
/// client leaves it `None` unless the server's [`Hello::words`] have the word for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    List,
    Measure {
        diffs: Vec<Diff>,
    },
    LessThanWhole {
        diff: Diff,
    },
    Send {
        diff: Diff,
        /// As the kernel makes it, with its faults.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unmended: Option<bool>,
    },
    Receive {
        diff: Diff,
        #[serde(with = "path_text")]
        path: PathBuf,
        /// What the snapshot is of: said to who has the word `origin`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<Origin>,
        /// It counts once it was settled: said to who has the word `digest`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        compare: Option<bool>,
        /// It may wait for a request to publish: said to who has the word `hold`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold: Option<bool>,
    },
    Publish,
    Copy {
        #[serde(with = "path_text")]
        from: PathBuf,
        #[serde(with = "path_text")]
        to: PathBuf,
    },
    Delete {
        #[serde(with = "path_text")]
        path: PathBuf,
    },
    Adopt {
        #[serde(with = "path_text")]
        path: PathBuf,
        origin: Origin,
    },
    Inspect {
        depth: Depth,
        /// Its client wants to hear how far it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        watch: Option<bool>,
    },
    Digest {
        digest: Digest,
    },
    Reject {
        #[serde(with = "path_text")]
        path: PathBuf,
    },
    Settle {
        #[serde(with = "path_text")]
        path: PathBuf,
    },
    Exchange {
        #[serde(with = "path_text")]
        new: PathBuf,
        #[serde(with = "path_text")]
        old: PathBuf,
    },
}

impl Request {
    /// The whole table of permissions. Who may add, and not read, is answered of what it added.
    fn needs(&self) -> Right {
        match self {
            Request::List => Right::List,
            // A digest is of any listed snapshot: who may fetch it can compute the digest himself.
            Request::Measure { .. }
            | Request::LessThanWhole { .. }
            | Request::Send { .. }
            | Request::Inspect { .. }
            | Request::Digest { .. } => Right::Read,
            // It is of what was received over this connection; else it only marks.
            Request::Reject { .. } | Request::Settle { .. } => Right::Add,
            Request::Receive { .. } | Request::Publish | Request::Copy { .. } => Right::Add,
            Request::Delete { .. } | Request::Exchange { .. } | Request::Adopt { .. } => {
                Right::Remove
            }
        }
    }

    /// The protocol in which it was added or took its present form.
    fn since(&self) -> u32 {
        match self {
            // Its verdicts have other names since.
            Request::Inspect { .. }
            | Request::LessThanWhole { .. }
            | Request::Digest { .. }
            | Request::Reject { .. }
            | Request::Settle { .. }
            | Request::Publish
            | Request::Exchange { .. }
            | Request::Adopt { .. } => 3,
            _ => 2,
        }
    }

    /// The word that a server must have to understand it, if it came after its protocol.
    fn word(&self) -> Option<&'static str> {
        match self {
            Request::Digest { .. } | Request::Reject { .. } | Request::Settle { .. } => {
                Some("digest")
            }
            Request::Exchange { .. } => Some("exchange"),
            Request::Adopt { .. } => Some("adopt"),
            Request::Publish => Some(HOLD),
            Request::LessThanWhole { .. } => Some(BOUND),
            _ if self.diffs().iter().any(|diff| !diff.clones.is_empty()) => Some(CLONES),
            Request::Send { unmended, .. } => unmended.map(|_| "mend"),
            _ => None,
        }
    }

    /// The diffs that it is about.
    fn diffs(&self) -> &[Diff] {
        match self {
            Request::Measure { diffs } => diffs,
            Request::LessThanWhole { diff }
            | Request::Send { diff, .. }
            | Request::Receive { diff, .. } => std::slice::from_ref(diff),
            _ => &[],
        }
    }

    /// Whether the other side, `place`, understands this request or its answer.
    ///
    /// # Errors
    /// If not: then the other side has to upgrade.
    pub(crate) fn must_be_known_to(&self, far: &Hello, place: &str) -> Result<()> {
        if far.protocol >= self.since() && self.word().is_none_or(|word| far.can(word)) {
            return Ok(());
        }
        let program = plain(&far.program);
        let said =
            format!("buttersink {program} is too old for that: upgrade buttersink on {place}");
        Err(Error::failed(
            format!("{} with {place}", self.doing()),
            said,
        ))
    }

    /// Whether it asks for digests of nothing but these snapshots.
    fn is_of(&self, added: &[Added]) -> bool {
        let Request::Digest { digest } = self else {
            return false;
        };
        let same = |(id, path): &Added| *id == digest.id && Some(path) == digest.path.as_ref();
        matches!(digest.extent, Extent::These(_)) && added.iter().any(same)
    }

    /// What the request does, as the first half of an error.
    fn doing(&self) -> &'static str {
        match self {
            Request::List => "cannot list",
            Request::Measure { .. } | Request::LessThanWhole { .. } => "cannot measure",
            Request::Send { .. } => "cannot send",
            Request::Receive { .. } | Request::Publish => "cannot receive",
            Request::Copy { .. } => "cannot copy",
            Request::Delete { .. } => "cannot delete",
            Request::Inspect { .. } => "cannot verify",
            Request::Digest { .. } => "cannot compare",
            Request::Reject { .. } => "cannot reject",
            Request::Settle { .. } => "cannot settle",
            Request::Exchange { .. } => "cannot replace",
            Request::Adopt { .. } => "cannot adopt",
        }
    }

    /// Whether who was granted `access`, and added these snapshots in this session, may ask this, of names
    /// inside the directory.
    pub(crate) fn permitted(&self, access: Access, added: &[Added]) -> Result<()> {
        if !access.grants(self.needs()) && !self.is_of(added) {
            let mut enough = Access::ALL.iter().filter(|mode| mode.grants(self.needs()));
            let enough = enough.next().map_or('w', |mode| mode.letter());
            let granted = access.letter();
            let said = format!("mode {granted} was granted, and this needs mode {enough}");
            return Err(Error::refused(self.doing(), said));
        }
        let most = self.diffs().iter().map(|diff| diff.clones.len()).max();
        if let Some(n) = most.filter(|&n| n > Diff::MOST_CLONES) {
            let said = format!("{n} clone sources are more than {}", Diff::MOST_CLONES);
            return Err(Error::refused(self.doing(), said));
        }
        match self {
            Request::Receive { path, .. }
            | Request::Delete { path }
            | Request::Reject { path }
            | Request::Settle { path }
            | Request::Adopt { path, .. } => a_name(path),
            Request::Digest { digest } => digestible(digest),
            Request::Exchange { new, old } => a_name(new).and_then(|()| a_name(old)),
            Request::Copy { from, to } => a_name(from).and_then(|()| a_name(to)),
            Request::List
            | Request::Publish
            | Request::Measure { .. }
            | Request::LessThanWhole { .. }
            | Request::Send { .. }
            | Request::Inspect { .. } => Ok(()),
        }
        .map_err(|said| Error::refused(self.doing(), said))
    }
}

/// Whether a digest is asked for of names inside one snapshot, and not of too many.
fn digestible(digest: &Digest) -> std::result::Result<(), String> {
    digest.path.as_deref().map_or(Ok(()), a_name)?;
    match &digest.extent {
        Extent::These(paths) if paths.len() > PAGE => {
            Err(format!("{} paths are more than {PAGE}", paths.len()))
        }
        Extent::These(paths) => {
            let mut named = paths.iter().filter(|path| !path.as_os_str().is_empty());
            named.try_for_each(|path| inside(path))
        }
        Extent::First(_) | Extent::Next => Ok(()),
    }
}

/// Where a store remembers things, wherever in its directory that is.
const STATE: &str = ".buttersink";

/// Whether a client may use a name.
fn a_name(path: &Path) -> std::result::Result<(), String> {
    inside(path)?;
    match path.iter().any(is_remembered) {
        false => Ok(()),
        true => Err(format!("nothing is called {STATE} but what is remembered")),
    }
}

/// What has a dash is a record too, as the one that makes a directory the root of streams.
fn is_remembered(part: &OsStr) -> bool {
    let rest = part.as_encoded_bytes().strip_prefix(STATE.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'-')
}

/// Whether a name from the other side stays inside the directory that it is relative to.
pub(crate) fn inside(path: &Path) -> std::result::Result<(), String> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = path.as_os_str().as_bytes();
    let normal = |component| matches!(component, Component::Normal(_));
    let parts = path.components().count();
    // `components` passes over `a//b`, `a/./b` and `a/`; the count of slashes does not.
    let tidy = bytes.iter().filter(|&&b| b == b'/').count() + 1 == parts;
    if tidy && path.components().all(normal) && !bytes.contains(&0) {
        return Ok(());
    }
    let path = crate::snapshot::shown(path);
    Err(format!("'{path}' is not a name inside the directory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_as_the_manual_writes_them() {
        let parse = |text: &str| serde_json::from_str::<Request>(text);
        assert_eq!(parse(r#"{"ask":"list"}"#).unwrap(), Request::List);
        let path = "a%".into();
        let delete = Request::Delete { path };
        assert_eq!(parse(r#"{"ask":"delete","path":"a%25"}"#).unwrap(), delete);
        let depth = Depth::Download;
        let inspect = |watch| Request::Inspect { depth, watch };
        let text = r#"{"ask":"inspect","depth":"download"}"#;
        assert_eq!(parse(text).unwrap(), inspect(None));
        let text = r#"{"ask":"inspect","depth":"download","watch":true}"#;
        assert_eq!(parse(text).unwrap(), inspect(Some(true)));
        for wrong in [
            r#"{"ask":"format"}"#,
            r#"{"ask":"delete"}"#,
            r#"{"ask":"delete","path":"a%2"}"#,
            r#"{"ask":"delete","path":"a","force":true}"#,
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    /// A request of each kind, and the modes that permit it.
    const TABLE: &[(&str, &str)] = &[
        (r#"{"ask":"list"}"#, "rpaw"),
        (r#"{"ask":"measure","diffs":[DIFF]}"#, "raw"),
        (r#"{"ask":"less-than-whole","diff":DIFF}"#, "raw"),
        (r#"{"ask":"send","diff":DIFF}"#, "raw"),
        (r#"{"ask":"receive","diff":DIFF,"path":"a"}"#, "paw"),
        (r#"{"ask":"publish"}"#, "paw"),
        (r#"{"ask":"copy","from":"a","to":"b"}"#, "paw"),
        (r#"{"ask":"delete","path":"a"}"#, "w"),
        (r#"{"ask":"inspect","depth":"quick"}"#, "raw"),
        (r#"{"ask":"reject","path":"a"}"#, "paw"),
        (r#"{"ask":"settle","path":"a"}"#, "paw"),
        (r#"{"ask":"exchange","new":"a","old":"b"}"#, "w"),
    ];

    #[test]
    fn the_table_of_permissions() {
        let diff = Diff::new(
            crate::snapshot::Uuid([1; 16]),
            None,
            crate::snapshot::Size::Unknown,
        );
        let diff = serde_json::to_string(&diff).unwrap();
        let table = TABLE.iter();
        let parse = |text: &str| serde_json::from_str::<Request>(text);
        let requests = table.map(|(text, modes)| (parse(&text.replace("DIFF", &diff)), *modes));
        for (request, modes) in requests.chain([(Ok(digest(&[""])), "raw")]) {
            let request = request.unwrap();
            for access in Access::ALL {
                let allowed = modes.contains(access.letter());
                let permitted = request.permitted(access, &[]).is_ok();
                assert_eq!(permitted, allowed, "{request:?} {access:?}");
            }
        }
    }

    /// What is below the directory is the limit of both: see `digests_tell_no_more_than_a_mode_may_fetch`.
    #[test]
    fn who_may_not_fetch_gets_no_digests() {
        let diff = Diff::new(
            crate::snapshot::Uuid([1; 16]),
            None,
            crate::snapshot::Size::Unknown,
        );
        let fetch = Request::Send {
            diff,
            unmended: None,
        };
        for access in Access::ALL {
            let digest = digest(&[""]).permitted(access, &[]).is_ok();
            assert_eq!(digest, fetch.permitted(access, &[]).is_ok(), "{access:?}");
        }
    }

    #[test]
    fn clone_sources_are_few_and_have_a_word() {
        let measure = |clones: usize| {
            let diff = Diff {
                to: Uuid([1; 16]),
                from: None,
                size: crate::snapshot::Size::Unknown,
                clones: vec![Uuid([2; 16]); clones],
            };
            Request::Measure { diffs: vec![diff] }
        };
        assert!(
            !serde_json::to_string(&measure(0))
                .unwrap()
                .contains("clones")
        );
        assert!(measure(16).permitted(Access::Read, &[]).is_ok());
        assert!(measure(17).permitted(Access::Write, &[]).is_err());
        let mut far = Hello::here();
        assert!(measure(1).must_be_known_to(&far, "far").is_ok());
        far.words.retain(|word| word != CLONES);
        assert!(measure(1).must_be_known_to(&far, "far").is_err());
        assert!(measure(0).must_be_known_to(&far, "far").is_ok());
    }

    fn digest(paths: &[&str]) -> Request {
        let digest = Digest {
            id: crate::snapshot::Uuid([1; 16]),
            path: Some("a".into()),
            extent: Extent::These(paths.iter().map(PathBuf::from).collect()),
            from_disk: true,
        };
        Request::Digest { digest }
    }

    #[test]
    fn who_cannot_read_is_told_of_what_he_added() {
        let one = Uuid([1; 16]);
        let ask = |added: &[Added]| digest(&["a"]).permitted(Access::Put, added).is_ok();
        let at = |path: &str| [(one, PathBuf::from(path))];
        assert!(ask(&at("a")));
        assert!(!ask(&[]) && !ask(&at("b")) && !ask(&[(Uuid([2; 16]), "a".into())]));
        let Request::Digest { mut digest } = digest(&[]) else {
            unreachable!()
        };
        digest.extent = Extent::First(Some(Uuid([2; 16])));
        let other = Request::Digest { digest };
        assert!(other.permitted(Access::Put, &at("a")).is_err());
    }

    #[test]
    fn digests_are_of_names_inside() {
        assert!(
            digest(&["", "a", "a/b"])
                .permitted(Access::Read, &[])
                .is_ok()
        );
        for bad in ["..", "/a", "a/../b", "a//b", "a\0"] {
            assert!(
                digest(&["a", bad]).permitted(Access::Write, &[]).is_err(),
                "{bad}"
            );
        }
        assert!(
            digest(&vec!["a"; PAGE + 1])
                .permitted(Access::Read, &[])
                .is_err()
        );
        let Request::Digest { mut digest } = digest(&[]) else {
            unreachable!()
        };
        digest.path = Some("../a".into());
        assert!(
            Request::Digest { digest }
                .permitted(Access::Read, &[])
                .is_err()
        );
    }

    #[test]
    fn what_is_remembered_is_no_clients_business() {
        let ask = |path: &str| {
            let path = PathBuf::from(path);
            let to = path.clone();
            let all = [
                Request::Delete { path: path.clone() },
                Request::Copy {
                    from: path,
                    to: "x".into(),
                },
                Request::Copy {
                    from: "x".into(),
                    to,
                },
            ];
            all.map(|request| request.permitted(Access::Write, &[]).is_ok())
        };
        for path in [
            ".buttersink",
            ".buttersink/seals",
            "a/.buttersink",
            "a/.buttersink/b",
            ".buttersink-raw",
            "a/.buttersink-drill/b",
        ] {
            assert_eq!(ask(path), [false; 3], "{path}");
        }
        assert_eq!(ask("a/.buttersink2/x.buttersink-"), [true; 3]);
    }

    #[test]
    fn names_stay_inside() {
        for good in ["a", "a/b", "..a", "a..", ".a/b c", "\u{fc}\n"] {
            assert_eq!(inside(Path::new(good)), Ok(()), "{good}");
        }
        let bad = [
            "", "/", "/a", "a/", "a//b", ".", "./a", "a/.", "..", "a/..", "../a", "a\0",
        ];
        for bad in bad {
            assert!(inside(Path::new(bad)).is_err(), "{bad}");
        }
    }
}
