//! Where things are, from btrbk's words into ours: paths below volumes, and targets. Looks at nothing.

use super::lines::Entry;
use super::sections::{BtrbkTarget, Scope};
use crate::store::Location;
use std::path::{Component, Path, PathBuf};

/// Whether it is on another machine: `ssh://host/dir`, `host:/dir` or `[host]:/dir`.
pub(super) fn is_far(text: &str) -> bool {
    text.starts_with("ssh://") || !text.starts_with('/') && text.contains(":/")
}

/// A path on this machine, without what says nothing; `None` if it is none that btrbk takes.
pub(super) fn path(base: Option<&Path>, text: &str) -> Option<PathBuf> {
    let path = base.unwrap_or(Path::new("")).join(text);
    let up = path.components().any(|part| part == Component::ParentDir);
    let plain = path.components().filter(|part| *part != Component::CurDir);
    (path.is_absolute() && !up).then(|| plain.collect())
}

/// The same as our files have it: btrbk knows `*` only, and we know other signs beside it.
pub(super) fn pattern(path: &str) -> String {
    if !path.contains(['*', '?', '[']) {
        return path.to_owned();
    }
    let escape = |c: char| ['?', '[', '\\'].contains(&c).then_some('\\');
    path.chars()
        .flat_map(|c| escape(c).into_iter().chain([c]))
        .collect()
}

/// A target as a location of ours, and how errors and files would name it; or why it cannot be one.
pub(super) fn location(target: &BtrbkTarget, scope: Scope) -> Result<(String, String), String> {
    let text = match is_far(&target.place) {
        true => far(&target.place, target.raw, scope),
        false => {
            let path = path(None, &target.place).ok_or("it is no path that btrbk takes")?;
            let kind = if target.raw { "raw:" } else { "" };
            format!("{kind}{}/", path.display())
        }
    };
    let location = Location::directory(text.as_ref()).map_err(|error| error.words())?;
    let same = location.place.to_string().trim_end_matches('/').to_owned();
    Ok((text, same))
}

fn far(text: &str, raw: bool, scope: Scope) -> String {
    let rest = text.strip_prefix("ssh://");
    let rest = rest.map_or_else(|| text.replacen(":/", "/", 1), str::to_owned);
    let (host, dir) = rest.split_once('/').unwrap_or((&rest, ""));
    // btrbk becomes root there if nobody says otherwise.
    let user = match scope.entry("ssh_user").map(|entry| entry.value.as_str()) {
        _ if host.contains('@') => String::new(),
        None => "root@".to_owned(),
        Some("no") => String::new(),
        Some(user) => format!("{user}@"),
    };
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.ends_with(']'));
    let port = scope
        .get("ssh_port")
        .filter(|port| !has_port && *port != "default");
    let port = port.map_or(String::new(), |port| format!(":{port}"));
    let scheme = if raw { "raw+ssh" } else { "ssh" };
    format!(
        "{scheme}://{user}{host}{port}/{}/",
        dir.trim_end_matches('/')
    )
}

/// What ssh(1) gets by `-o`.
pub(super) fn ssh_options(scope: Scope) -> Vec<String> {
    let ciphers = scope
        .get("ssh_cipher_spec")
        .filter(|spec| *spec != "default");
    let ciphers = ciphers.map(|spec| {
        let words = spec.split([' ', ',', '\t']).filter(|word| !word.is_empty());
        format!("Ciphers={}", words.collect::<Vec<_>>().join(","))
    });
    let identity = scope.get("ssh_identity");
    let identity = identity.map(|file| format!("IdentityFile={file}"));
    let compression = scope
        .says("ssh_compression")
        .then(|| "Compression=yes".to_owned());
    identity
        .into_iter()
        .chain(ciphers)
        .chain(compression)
        .collect()
}

/// Bytes in a second: `10m`.
pub(super) fn rate(entry: &Entry) -> Option<u64> {
    let text = entry.value.to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = ["", "k", "m", "g", "t"]
        .iter()
        .position(|unit| *unit == &text[digits.len()..])?;
    let rate = digits.parse::<u64>().ok()?.checked_mul(1 << (10 * power))?;
    (0 < rate && i64::try_from(rate).is_ok()).then_some(rate)
}
