//! Tables of values: a column has a header for people, a key for scripts, and one way to its value, so
//! that text and JSON of a listing are made in one place. Knows nothing of what stands in them.

use super::screen::Screen;
use crate::error::Error;
use crate::text::{human, minute, shown};
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
    /// Its place in text, counted from 1; 0 where it is not shown.
    pub place: u8,
    /// The header above it in text.
    pub title: &'static str,
    /// How its text is aligned.
    pub align: Align,
    /// Where not all fit, those with the highest number are left out first; 0 stays.
    pub spare: u8,
    /// Left out where there is nothing in it.
    pub bare: bool,
    /// Whether what stands in a row needs attention.
    pub alarm: Option<fn(&R) -> bool>,
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
            spare: 0,
            bare: false,
            alarm: None,
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

    /// Left out where not all columns fit, those with the highest number first.
    #[must_use]
    pub const fn spare(self, spare: u8) -> Column<R> {
        Column { spare, ..self }
    }

    /// Left out of text where no row has anything there.
    #[must_use]
    pub const fn bare(self) -> Column<R> {
        Column { bare: true, ..self }
    }

    /// Coloured where that is so.
    #[must_use]
    pub const fn alarm(self, alarm: fn(&R) -> bool) -> Column<R> {
        let alarm = Some(alarm);
        Column { alarm, ..self }
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
    Sheet::new(in_order(columns), rows.into_iter().collect()).text(&Screen::default())
}

/// Rows under a header, as they fit a screen: the columns that somebody chose by their titles; or, if none is named, as
/// many as there is room for of those that say something. The first one is cut where that is not enough.
pub fn fitted<R>(columns: &[Column<R>], rows: &[R], screen: &Screen, chosen: &[String]) -> String {
    let of_title = |title: &String| columns.iter().find(|column| is_called(column, title));
    let all = match chosen {
        [] => in_order(columns),
        titles => titles.iter().filter_map(of_title).collect(),
    };
    let mut sheet = Sheet::new(all, rows.iter().collect());
    if chosen.is_empty() {
        sheet.leave_out(screen.width);
    }
    sheet.cut(screen.width);
    sheet.text(screen)
}

/// What columns are called in text, in small letters and in their order.
pub fn titles<R>(columns: &[Column<R>]) -> Vec<String> {
    let titles = in_order(columns).into_iter();
    titles.map(|column| column.title.to_lowercase()).collect()
}

/// Refuses names that are none of these titles.
///
/// # Errors
/// If there is such a name: the names that there are.
pub fn must_be_columns(titles: &[String], chosen: &[String]) -> Result<(), Error> {
    let Some(unknown) = chosen.iter().find(|name| !titles.contains(name)) else {
        return Ok(());
    };
    let said = format!("it is one of {}", titles.join(", "));
    let doing = format!("cannot show the column {}", shown(unknown));
    Err(Error::usage(doing, said))
}

/// Whether a column has this title, in small letters.
fn is_called<R>(column: &Column<R>, title: &str) -> bool {
    column.place > 0 && column.title.to_lowercase() == title
}

fn in_order<R>(columns: &[Column<R>]) -> Vec<&Column<R>> {
    let mut columns: Vec<_> = columns.iter().filter(|c| c.place > 0).collect();
    columns.sort_by_key(|column| column.place);
    columns
}

/// Columns, and what stands in them, by column.
struct Sheet<'c, 'r, R: 'static> {
    columns: Vec<(&'c Column<R>, Vec<String>)>,
    rows: Vec<&'r R>,
}

const GAP: usize = 2;

impl<'c, 'r, R> Sheet<'c, 'r, R> {
    fn new(columns: Vec<&'c Column<R>>, rows: Vec<&'r R>) -> Sheet<'c, 'r, R> {
        let cells = |column: &Column<R>| rows.iter().map(|row| (column.cell)(row).text()).collect();
        let columns = columns.into_iter().map(|column| (column, cells(column)));
        Sheet {
            columns: columns.collect(),
            rows,
        }
    }

    fn titled(&self) -> bool {
        self.columns
            .iter()
            .any(|(column, _)| !column.title.is_empty())
    }

    /// The width of a column.
    fn width(&self, (column, cells): &(&Column<R>, Vec<String>)) -> usize {
        let title = if self.titled() { column.title.len() } else { 0 };
        let cells = cells.iter().map(|cell| cell.chars().count());
        match column.align {
            Align::Free => 0,
            _ => cells.max().unwrap_or(0).max(title),
        }
    }

    fn whole_width(&self) -> usize {
        let widths = self.columns.iter().map(|column| self.width(column) + GAP);
        widths.sum::<usize>().saturating_sub(GAP)
    }

    /// The same, when the first column is cut to so much.
    fn least_width(&self, first: usize) -> usize {
        let whole = self.columns.first().map_or(0, |column| self.width(column));
        self.whole_width() - whole.saturating_sub(first)
    }

    /// What says nothing goes, and what can go until the others fit beside a name of some length.
    fn leave_out(&mut self, width: Option<usize>) {
        let says = |cell: &String| !matches!(cell.as_str(), "" | "-");
        self.columns
            .retain(|(column, cells)| !column.bare || cells.iter().any(says));
        while width.is_some_and(|width| self.least_width((width / 3).max(16)) > width) {
            let spare = self.columns.iter().map(|(column, _)| column.spare).max();
            let Some(spare) = spare.filter(|&spare| spare > 0) else {
                return;
            };
            self.columns.retain(|(column, _)| column.spare != spare);
        }
    }

    /// Takes from the middle of the first column what does not fit.
    fn cut(&mut self, width: Option<usize>) {
        let over = width.map_or(0, |width| self.whole_width().saturating_sub(width));
        let Some(first) = self.columns.first().filter(|_| over > 0) else {
            return;
        };
        let room = self.width(first).saturating_sub(over).max(8);
        self.columns[0]
            .1
            .iter_mut()
            .for_each(|cell| *cell = shortened(cell, room));
    }

    fn text(&self, screen: &Screen) -> String {
        let widths: Vec<usize> = self
            .columns
            .iter()
            .map(|column| self.width(column))
            .collect();
        let line = |cell: &dyn Fn(usize) -> (String, bool)| {
            let mut text = String::new();
            for (i, width) in widths.iter().copied().enumerate() {
                let (cell, alarming) = cell(i);
                let padded = match self.columns[i].0.align {
                    Align::Right => format!("{cell:>width$}"),
                    _ if i + 1 == widths.len() => cell,
                    _ => format!("{cell:width$}"),
                };
                text += &match alarming {
                    true => screen.alarming(&padded),
                    false => padded,
                };
                text += if i + 1 < widths.len() { "  " } else { "\n" };
            }
            text
        };
        let mut text = match self.titled() {
            true => line(&|i| (self.columns[i].0.title.to_owned(), false)),
            false => String::new(),
        };
        for (at, row) in self.rows.iter().enumerate() {
            text += &line(&|i| {
                let (column, cells) = &self.columns[i];
                (
                    cells[at].clone(),
                    column.alarm.is_some_and(|alarm| alarm(row)),
                )
            });
        }
        text
    }
}

/// A text of so many characters at most: the beginning, and more of the end, where names differ.
pub fn shortened(text: &str, room: usize) -> String {
    let all: Vec<char> = text.chars().collect();
    if all.len() <= room {
        return text.to_owned();
    }
    let (first, last) = (room / 3, room - room / 3 - 1);
    let ends = all[..first]
        .iter()
        .chain(&['…'])
        .chain(&all[all.len() - last..]);
    ends.collect()
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
pub struct Formatted<T>(pub String, pub T);

impl<T> Display for Formatted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<T: Serialize> Serialize for Formatted<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.1.serialize(serializer)
    }
}

/// A value of any form, for scripts only.
pub fn data<'a>(value: impl Serialize + 'a) -> Cell<'a> {
    Box::new(Formatted(String::new(), value))
}

/// A path: escaped as [`crate::snapshot::shown`] says, and for scripts as `path_text` does.
pub fn path<'a>(path: &std::path::Path) -> Cell<'a> {
    let encoded = crate::snapshot::path_text::encode(path);
    Box::new(Formatted(crate::snapshot::shown(path), encoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Two = (&'static str, &'static str);

    const COLUMNS: &[Column<Two>] = &[
        Column::text(1, |row: &Two| Box::new(row.0)).shown(1, "NAME"),
        Column::text(2, |row: &Two| Box::new(row.1))
            .shown(2, "STATE")
            .alarm(|row| row.1 != "ok"),
        Column::text(3, |_: &Two| Box::new("-"))
            .shown(3, "NONE")
            .bare(),
        Column::text(4, |row: &Two| Box::new(row.0))
            .shown(4, "AGAIN")
            .spare(1),
    ];

    const ROWS: &[Two] = &[("20261121-233000", "ok"), ("a", "bad")];

    fn at(width: Option<usize>, chosen: &[&str]) -> String {
        let chosen: Vec<String> = chosen.iter().map(|&name| name.to_owned()).collect();
        let colour = false;
        fitted(COLUMNS, ROWS, &Screen { width, colour }, &chosen)
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_then_cut() {
        let whole = "NAME             STATE  AGAIN\n\
                     20261121-233000  ok     20261121-233000\n\
                     a                bad    a\n";
        assert_eq!(at(None, &[]), whole);
        assert_eq!(at(Some(39), &[]), whole);
        let less = "NAME             STATE\n20261121-233000  ok\na                bad\n";
        assert_eq!(at(Some(38), &[]), less);
        assert_eq!(at(Some(22), &[]), less);
        let cut = "NAME          STATE\n2026…-233000  ok\na             bad\n";
        assert_eq!(at(Some(19), &[]), cut);
        assert_eq!(
            at(None, &["state", "name"]),
            "STATE  NAME\nok     20261121-233000\nbad    a\n"
        );
    }

    #[test]
    fn only_what_needs_attention_is_coloured() {
        let (width, colour) = (Some(22), true);
        let text = fitted(COLUMNS, ROWS, &Screen { width, colour }, &[]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "20261121-233000  ok");
        assert_eq!(lines[2], "a                \u{1b}[31mbad\u{1b}[0m");
    }

    #[test]
    fn columns_that_are_not_there_are_named() {
        let refused = must_be_columns(&titles(COLUMNS), &["uid".to_owned()]).unwrap_err();
        assert!(
            refused
                .to_string()
                .ends_with("it is one of name, state, none, again")
        );
        assert!(must_be_columns(&titles(COLUMNS), &["again".to_owned()]).is_ok());
    }
}
