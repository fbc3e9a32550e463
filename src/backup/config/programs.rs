//! `[hooks]` and `[notify]`: programs of the person's own, and who hears how a run went. Runs none.

use super::reader::ConfigReader;
use crate::backup::hooks::{self, Hooks};
use crate::backup::notify::Notify;
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
    let ping = file.optional("notify.ping")?;
    let known = |address: &String| {
        ["http://", "https://"]
            .iter()
            .any(|s| address.starts_with(s))
    };
    if ping.as_ref().is_some_and(|address| !known(address)) {
        return Err(file.wrong("notify.ping", "must be an address: https://…"));
    }
    let seconds = file.optional_number("notify.timeout_seconds", 1)?;
    let command = file.command("notify.command")?;
    Ok(Notify {
        always: match command {
            Some(_) => file.flag("notify.always", false)?,
            None => false,
        },
        command,
        ping,
        timeout: Duration::from_secs(seconds.unwrap_or(hooks::TIMEOUT)),
    })
}
