//! A plan, as a table for people and as JSON: each step with its size and its reason, what is in the
//! way, and the total. Decides nothing.

use super::table::{Column, Formatted, Row, data, path, table};
use crate::plan::{Action, Obstacle, Plan, Step};
use crate::snapshot::{Size, shown};
use crate::store::Effort;
use crate::text::{counted, human, numbered};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;

type Field = Column<Step>;

const COLUMNS: &[Field] = &[
    Field::json("action", |s| {
        Box::new(Formatted(verb(s.action).to_owned(), s.action))
    })
    .shown(1, ""),
    Field::json("path", |s| path(&s.path)),
    Field::json("to", |s| data(s.to)),
    Field::json("from", |s| data(s.from)),
    Field::json("clones", |s| data(&s.clones)),
    Field::json("original", |s| data(s.original.as_deref().map(shown))),
    Field::json("bytes", |s| Box::new(Formatted(size(s), s.size.bytes())))
        .shown(2, "")
        .right(),
    Field::json("exact", |s| data(s.size.is_exact())),
    Field::json("mended", |s| data(&s.mended)),
    Field::json("why", |s| {
        let words = format!("{}  ({})", shown(&s.path), briefly(&s.why));
        Box::new(Formatted(words, &s.why))
    })
    .shown(3, ""),
];

/// What everybody expects, and so need not read.
const EXPECTED: &[&str] = &[
    ", sent before it",
    ", which the destination has",
    ", as it is stored",
    ", as it was asked for",
    ": nothing older is related to it",
];

/// A reason without what goes without saying, and without what was mended: the debug log and scripts get
/// all of it.
pub fn briefly(why: &str) -> &str {
    let why = why.split("; mended: ").next().unwrap_or(why);
    let mut endings = EXPECTED.iter();
    endings.find_map(|end| why.strip_suffix(end)).unwrap_or(why)
}

fn verb(action: Action) -> &'static str {
    match action {
        Action::Keep => "keep",
        Action::Transfer => "send",
        Action::Copy => "copy",
        Action::Delete => "delete",
    }
}

impl Plan {
    /// All that is sent together, and whether somebody measured it.
    fn sum(&self) -> String {
        let (total, size) = (self.total_bytes(), human(self.total_bytes()));
        let sizes = || self.transfers().map(|step| step.size);
        let unknown = sizes().filter(|size| size.bytes().is_none()).count();
        match (unknown, sizes().all(Size::is_exact)) {
            (_, true) => format!("{size} ({total} bytes)"),
            (0, false) => format!("about {size}"),
            (n, _) if n == sizes().count() => "nobody has measured how much".to_owned(),
            (n, _) => format!("about {size}, and {n} that nobody has measured"),
        }
    }
}

/// Exact bytes, or a guess that is seen to be one.
fn size(step: &Step) -> String {
    match step.size {
        _ if step.action != Action::Transfer => String::new(),
        Size::Exact(bytes) => format!("{bytes} bytes"),
        Size::Estimate(bytes) => format!("about {}", human(bytes)),
        Size::Beyond(_) | Size::Unknown => "-".to_owned(),
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Row(COLUMNS, self).serialize(serializer)
    }
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("steps", &self.steps)?;
        map.serialize_entry("obstacles", &self.obstacles)?;
        map.serialize_entry("total_bytes", &self.total_bytes())?;
        map.serialize_entry("strangers", &self.strangers)?;
        if self.compare {
            map.serialize_entry("compare", &true)?;
        }
        if let Some(effort) = self.effort {
            map.serialize_entry("effort", &effort)?;
        }
        map.end()
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.blocks { "cannot send" } else { "note" };
        match self.path.as_os_str().is_empty() {
            true => write!(f, "{word}: {}", self.what)?,
            false => write!(f, "{word}: {}: {}", shown(&self.path), self.what)?,
        }
        match &self.hint {
            Some(hint) => write!(f, " (try: {hint})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&table(COLUMNS, &self.steps))?;
        for obstacle in &self.obstacles {
            writeln!(f, "{obstacle}")?;
        }
        let count = self.transfers().count();
        let goes = |step: &&Step| step.action == Action::Delete;
        let deletions = self.steps.iter().filter(goes).count();
        if let Some(effort) = self.effort.filter(|_| count > 0) {
            let Effort { requests, parts } = effort;
            let requests = numbered(requests, "request that writes", "requests that write");
            writeln!(f, "{requests}, {}", counted(parts, "part"))?;
        }
        let size = self.sum();
        let copies = match self.copies().count() {
            0 => String::new(),
            n => format!("; {n} to copy"),
        };
        match (count, deletions) {
            (0, 0) if copies.is_empty() => write!(f, "nothing to do"),
            (n, 0) => write!(f, "{n} to send, {size}{copies}"),
            (n, d) => write!(f, "{n} to send, {size}{copies}; {d} to delete"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_without_saying_is_not_said() {
        assert_eq!(briefly("from a, sent before it; mended: 2 times"), "from a");
        assert_eq!(briefly("whole: nothing older is related to it"), "whole");
        let strange = "whole: not from a, which was altered";
        assert_eq!(briefly(strange), strange);
    }
}
