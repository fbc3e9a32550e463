//! Backups: a snapshot, a plan, a sync and a prune. The rooms think (`names`, `retention`, `room`,
//! `schedule`) or act (`run`, which the others
//! give orders to, and `source`).

pub mod names;
pub mod retention;
pub mod room;
pub mod schedule;

mod deletion;
pub mod families;

pub mod work;

pub mod hooks;
pub mod notify;

pub mod config;

pub mod draft;

pub mod btrbk;
pub mod mounted;

pub mod source;
pub mod state;

pub mod archive;

pub mod run;

pub mod agenda;

pub mod oneshot;
pub mod scheduled;

pub mod status;

use jiff::{Timestamp, Zoned, tz::TimeZone};

/// The time, in the zone of this machine (`TZ`, or `/etc/localtime`). A rescue system may not have
/// its zone's rules: then it is UTC, and a remark says so.
pub fn local_now() -> (Zoned, Option<String>) {
    let now = Timestamp::now();
    match TimeZone::try_system() {
        Ok(zone) => (now.to_zoned(zone), None),
        Err(error) => {
            let remark =
                format!("the time zone of this machine is unknown, so times are UTC: {error}");
            (now.to_zoned(TimeZone::UTC), Some(remark))
        }
    }
}
