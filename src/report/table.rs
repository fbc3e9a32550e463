//! Tables of values: a column has a header for people, a key for scripts, and one way to its value, so
//! that text and JSON of a listing are made in one place. Knows nothing of what stands in them.

use crate::text::{human, minute};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use std::fmt::{self, Display};

/// What a cell is made of: a value that displays itself for people and serialises for scripts.
pub trait Value {
    /// For people.
    fn text(&self) -> String;

    /// For scripts.
    fn json(&self) -> Option<Box<RawValue>>;
}

impl<T: Display + Serialize> Value for T {
    fn text(&self) -> String {
        self.to_string()
    }

    fn json(&self) -> Option<Box<RawValue>> {
        to_raw_value(self).ok()
    }
}

/// What stands in one row of one column.
pub type Cell<'a> = Box<dyn Value + 'a>;

/// Where text stands within the width of its column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Align {
    /// Blanks follow it.
    Left,
    /// Blanks are before it.
    Right,
    /// The column is as wide as each cell, and what follows is not aligned.
    Free,
}

/// One column of rows of one type.
pub struct Column<R: 'static> {
    /// The member of the JSON object; empty where there is none.
    pub key: &'static str,
    /// The member is left out where it is null.
    pub optional: bool,
    /// The how manieth it is in text, from 1; 0 where it is not shown.
    pub place: u8,
    /// What stands above it in text.
    pub title: &'static str,
    /// How it is aligned.
    pub align: Align,
    /// Characters that it has at least.
    pub width: usize,
    /// Its value in a row.
    pub cell: for<'a> fn(&'a R) -> Cell<'a>,
}

impl<R> Column<R> {
    /// For scripts only.
    pub const fn json(key: &'static str, cell: for<'a> fn(&'a R) -> Cell<'a>) -> Column<R> {
        Column {
            key,
            optional: false,
            place: 0,
            title: "",
            align: Align::Left,
            width: 0,
            cell,
        }
    }

    /// For people only.
    pub const fn text(place: u8, cell: for<'a> fn(&'a R) -> Cell<'a>) -> Column<R> {
        Column::json("", cell).shown(place, "")
    }

    /// In text also, at this place and below this title.
    #[must_use]
    pub const fn shown(self, place: u8, title: &'static str) -> Column<R> {
        Column {
            place,
            title,
            ..self
        }
    }

    /// Of so many characters at least.
    #[must_use]
    pub const fn wide(self, width: usize) -> Column<R> {
        Column { width, ..self }
    }

    /// Aligned to the right.
    #[must_use]
    pub const fn right(self) -> Column<R> {
        let align = Align::Right;
        Column { align, ..self }
    }

    /// As wide as each cell.
    #[must_use]
    pub const fn free(self) -> Column<R> {
        let align = Align::Free;
        Column { align, ..self }
    }

    /// Left out of JSON where it is null.
    #[must_use]
    pub const fn optional(self) -> Column<R> {
        Column {
            optional: true,
            ..self
        }
    }
}

/// Rows under a header, if any column has a title. The last column has no end.
pub fn table<'r, R>(columns: &[Column<R>], rows: impl IntoIterator<Item = &'r R>) -> String {
    let mut columns: Vec<_> = columns.iter().filter(|c| c.place > 0).collect();
    columns.sort_by_key(|column| column.place);
    let titles = columns.iter().map(|c| c.title.to_owned()).collect();
    let titled = columns.iter().any(|column| !column.title.is_empty());
    let mut lines: Vec<Vec<String>> = if titled { vec![titles] } else { Vec::new() };
    let texts = |row| columns.iter().map(|c| (c.cell)(row).text()).collect();
    lines.extend(rows.into_iter().map(texts));
    let widest = |i: usize| lines.iter().map(|line| line[i].chars().count()).max();
    let width = |(i, column): (usize, &&Column<R>)| match column.align {
        Align::Free => 0,
        _ => widest(i).unwrap_or(0).max(column.width),
    };
    let widths: Vec<usize> = columns.iter().enumerate().map(width).collect();
    let mut text = String::new();
    for line in &lines {
        for (i, cell) in line.iter().enumerate() {
            let width = widths[i];
            text += &match columns[i].align {
                Align::Right => format!("{cell:>width$}"),
                _ if i + 1 == line.len() => cell.clone(),
                _ => format!("{cell:width$}"),
            };
            text += if i + 1 < line.len() { "  " } else { "\n" };
        }
    }
    text
}

/// A row as a JSON object.
pub struct Row<'a, R: 'static>(pub &'a [Column<R>], pub &'a R);

impl<R> Serialize for Row<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for column in self.0.iter().filter(|column| !column.key.is_empty()) {
            let value = (column.cell)(self.1).json();
            let is_null = value.as_ref().is_none_or(|value| value.get() == "null");
            if !(column.optional && is_null) {
                map.serialize_entry(column.key, &value)?;
            }
        }
        map.end()
    }
}

/// Rows as a list of JSON objects.
pub struct Rows<'a, R: 'static>(pub &'static [Column<R>], pub &'a [R]);

impl<R> Serialize for Rows<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.1.iter().map(|row| Row(self.0, row)))
    }
}

/// `-` and null for what is not known or not there.
#[derive(Clone, Copy, Debug, serde::Serialize)]
#[serde(transparent)]
pub struct Maybe<T>(pub Option<T>);

impl<T: Display> Display for Maybe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// A number of bytes: with a unit for people, exact for scripts.
#[derive(Clone, Copy, Debug, serde::Serialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&human(self.0))
    }
}

/// A moment in seconds since 1970: in UTC for people.
#[derive(Clone, Copy, Debug, serde::Serialize)]
#[serde(transparent)]
pub struct Moment(pub i64);

impl Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&minute(self.0).unwrap_or_else(|| "-".to_owned()))
    }
}

/// A value that reads otherwise than scripts have it.
#[derive(Clone, Debug)]
pub struct As<T>(pub String, pub T);

impl<T> Display for As<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<T: Serialize> Serialize for As<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.1.serialize(serializer)
    }
}

/// A value of any form, for scripts only.
pub fn data<'a>(value: impl Serialize + 'a) -> Cell<'a> {
    Box::new(As(String::new(), value))
}

/// A path: escaped as [`crate::snapshot::shown`] says, and for scripts as `path_text` does.
pub fn path<'a>(path: &std::path::Path) -> Cell<'a> {
    let encoded = crate::snapshot::path_text::encode(path);
    Box::new(As(crate::snapshot::shown(path), encoded))
}
