//! Backups: a snapshot, a plan, a sync and a prune. `names`, `retention`, `room`, `schedule` and `agenda` only
//! think; `oneshot` and `scheduled` make orders, which `run` carries out on a `source`. Prints nothing, and knows
//! no kind of store.

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
/// its zone's rules: then it is UTC, and `remark` hears so.
pub fn local_now(remark: impl FnOnce(String)) -> Zoned {
    let zone = TimeZone::try_system().unwrap_or_else(|error| {
        remark(format!(
            "the time zone of this machine is unknown, so times are UTC: {error}"
        ));
        TimeZone::UTC
    });
    Timestamp::now().to_zoned(zone)
}
