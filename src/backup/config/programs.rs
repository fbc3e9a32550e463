//! `[hooks]` and `[notify]`: programs of the person's own, and who hears how a run went. Runs none.

use super::reader::ConfigReader;
use crate::backup::hooks::{self, Hooks};
use crate::backup::notify::Notify;
use crate::backup::work::Work;
use crate::error::Result;
use std::time::Duration;

pub(super) fn hooks(file: &mut ConfigReader) -> Result<Hooks> {
    let seconds = file.optional_number("hooks.timeout_seconds", 1)?;
    Ok(Hooks {
        before: file.command("hooks.before")?,
        after: file.command("hooks.after")?,
        timeout: Duration::from_secs(seconds.unwrap_or(hooks::TIMEOUT)),
    })
}

pub(super) fn notify(file: &mut ConfigReader) -> Result<Notify> {
    let pings = pings(file)?;
    let seconds = file.optional_number("notify.timeout_seconds", 1)?;
    let command = file.command("notify.command")?;
    Ok(Notify {
        always: match command {
            Some(_) => file.flag("notify.always", false)?,
            None => false,
        },
        command,
        pings,
        timeout: Duration::from_secs(seconds.unwrap_or(hooks::TIMEOUT)),
    })
}

/// An address that two works shared would have the one say that the other was done.
fn pings(file: &mut ConfigReader) -> Result<Vec<(Work, String)>> {
    const KEYS: &[(&str, Work)] = &[
        ("notify.ping", Work::Backup),
        ("notify.ping_snapshot", Work::Snapshot),
        ("notify.ping_send", Work::Send),
        ("notify.ping_prune", Work::Prune),
    ];
    let mut pings: Vec<(Work, String)> = Vec::new();
    for &(key, work) in KEYS {
        let Some(address) = file.optional(key)? else {
            continue;
        };
        if !["http://", "https://"]
            .iter()
            .any(|s| address.starts_with(s))
        {
            return Err(file.wrong(key, "must be an address: https://…"));
        }
        let same = |(_, known): &&(Work, String)| {
            known.trim_end_matches('/') == address.trim_end_matches('/')
        };
        if let Some((other, _)) = pings.iter().find(same) {
            let said =
                format!("is the address that waits for {other}, and each waits for one command");
            return Err(file.wrong(key, &said));
        }
        pings.push((work, address));
    }
    Ok(pings)
}
