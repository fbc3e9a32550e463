//! How values are shown on standard output: text for people, or one JSON object a line for scripts,
//! each with the version of its form; integers are integers there, unknown is null. Decides nothing.

pub mod archives;
mod by_hand;
mod listing;
mod plan;
mod screen;
mod table;
mod tree;

use crate::error::{Error, Result};
pub use by_hand::Streams;
pub use listing::{Listed, Look, ORDERS};
pub use plan::briefly;
pub use screen::Screen;
use serde::Serialize;
use std::io::{self, Write};
pub use table::{
    As, Bytes, Cell, Column, Maybe, Moment, Row, Rows, data, fitted, must_be_columns, path,
    shortened, table,
};
pub use tree::{bar, descent};

/// Prints to standard output. A reader that has seen enough (`| head`) is no failure of ours.
///
/// # Errors
/// If it cannot be written, for instance to a full disk.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io("cannot write to standard output", error))
        }
        _ => Ok(()),
    }
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
