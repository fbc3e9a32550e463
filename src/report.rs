//! How values are shown on standard output: text for people, or one JSON object a line for scripts,
//! each with the version of its form; integers are integers there, unknown is null. Decides nothing.

pub mod archives;
mod by_hand;
mod format;
mod listing;
mod plan;
mod screen;
mod table;
mod tree;

use crate::error::{Error, Kind, Result};
pub use by_hand::Streams;
pub use format::{ListingFormat, ORDERS};
use jiff::Timestamp;
pub use listing::Listed;
pub use plan::briefly;
pub use screen::Screen;
use serde::Serialize;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
pub use table::{
    Bytes, Cell, Column, Formatted, Maybe, Moment, Row, Rows, data, fitted, must_be_columns, path,
    shortened, table, titles,
};
pub use tree::{bar, descent};

/// Prints to standard output. A reader that has seen enough (`| head`) is no failure of ours.
///
/// # Errors
/// If it cannot be written, for instance to a full disk.
pub fn print(text: &str) -> Result<()> {
    HAS_PRINTED.store(true, Ordering::Relaxed);
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io("cannot write to standard output", error))
        }
        _ => Ok(()),
    }
}

/// Whether something was printed: then the run had begun.
static HAS_PRINTED: AtomicBool = AtomicBool::new(false);

/// Refuses an order and columns that no listing of snapshots or backups has.
///
/// # Errors
/// If there is such a one: those that there are.
pub fn check_look(look: &ListingFormat) -> Result<()> {
    look.must_be_an_order()?;
    let mut titles = listing::columns();
    let more = archives::columns().into_iter();
    let more: Vec<String> = more.filter(|title| !titles.contains(title)).collect();
    titles.extend(more);
    must_be_columns(&titles, &look.columns)
}

/// Why a run could not begin, for scripts: `None` if it had begun, and so has told what there was to tell.
pub fn refusal(error: &Error) -> Option<String> {
    let refusal = RefusalLine {
        event: "error",
        time: Timestamp::now().as_second(),
        kind: error.kind,
        exit_code: error.exit_code(),
        error: error.words(),
        hint: error.hint.as_deref(),
    };
    (!HAS_PRINTED.load(Ordering::Relaxed)).then(|| json(&refusal))
}

#[derive(Serialize)]
struct RefusalLine<'a> {
    event: &'static str,
    time: i64,
    kind: Kind,
    exit_code: u8,
    error: String,
    hint: Option<&'a str>,
}

#[derive(Serialize)]
struct Line<'a, T: Serialize> {
    version: u32,
    #[serde(flatten)]
    value: &'a T,
}

/// A value for scripts, without the end of its line. Our own values always have a JSON form: their keys
/// are strings.
pub fn json(value: &impl Serialize) -> String {
    let version = crate::JSON_VERSION;
    serde_json::to_string(&Line { version, value }).unwrap_or_default()
}
