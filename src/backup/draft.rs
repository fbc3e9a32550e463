//! The text of a configuration that is written for somebody: sections with their remarks, of which those that
//! nobody can be sure of are commented out. Knows no key.

use crate::text::is_invisible;
use std::collections::HashSet;
use std::fmt;

/// The text of a configuration, section by section.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Draft {
    /// What stands above everything, a line each.
    pub head: Vec<String>,
    /// In the order of the file.
    pub sections: Vec<DraftSection>,
}

/// A section of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DraftSection {
    /// With its brackets: `[[destination]]`.
    pub title: &'static str,
    /// What stands above it, a line each.
    pub remarks: Vec<String>,
    /// All of it is commented out.
    pub doubtful: bool,
    lines: Vec<DraftLine>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct DraftLine {
    key: &'static str,
    value: String,
    remark: &'static str,
    doubtful: bool,
}

impl DraftSection {
    /// An empty section.
    pub fn new(title: &'static str) -> DraftSection {
        DraftSection {
            title,
            ..DraftSection::default()
        }
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a key with a text.
    pub fn text(&mut self, key: &'static str, value: &str) {
        self.raw(key, quoted(value));
    }

    /// Adds a key with a list of texts.
    pub fn texts(&mut self, key: &'static str, values: &[String]) {
        let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
        self.raw(key, format!("[{}]", values.join(", ")));
    }

    /// Adds a key with what needs no quotes.
    pub fn raw(&mut self, key: &'static str, value: impl fmt::Display) {
        self.lines.push(DraftLine {
            key,
            value: value.to_string(),
            remark: "",
            doubtful: false,
        });
    }

    /// Puts a remark behind the last line.
    pub fn because(&mut self, remark: &'static str) {
        if let Some(line) = self.lines.last_mut() {
            line.remark = remark;
        }
    }

    /// Comments the last line out, and says what it would do.
    pub fn perhaps(&mut self, remark: &'static str) {
        if let Some(line) = self.lines.last_mut() {
            (line.remark, line.doubtful) = (remark, true);
        }
    }
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        remarks(&self.head, f)?;
        self.sections
            .iter()
            .try_for_each(|one| write!(f, "\n{one}"))
    }
}

impl fmt::Display for DraftSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        remarks(&self.remarks, f)?;
        let sign = |doubtful: bool| if doubtful { "#" } else { "" };
        writeln!(f, "{}{}", sign(self.doubtful), self.title)?;
        for line in &self.lines {
            let sign = sign(self.doubtful || line.doubtful);
            write!(f, "{sign}{} = {}", line.key, line.value)?;
            match line.remark {
                "" => writeln!(f)?,
                remark => writeln!(f, " # {remark}")?,
            }
        }
        Ok(())
    }
}

fn remarks(lines: &[String], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let plain = |c: char| if is_unseen(c) { '?' } else { c };
    for line in lines {
        let line: String = line.chars().map(plain).collect();
        writeln!(f, "{}", format!("# {line}").trim_end())?;
    }
    Ok(())
}

/// What would do something to a terminal, or make a line look like another.
fn is_unseen(c: char) -> bool {
    c.is_control() || is_invisible(c)
}

/// As TOML quotes a text, on one line.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if is_unseen(c) => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// The name, or with a number if something is called so.
pub fn unused(all: &mut HashSet<String>, wished: &str) -> String {
    let numbered = (2..).map(|number| format!("{wished}-{number}"));
    let mut names = std::iter::once(wished.to_owned()).chain(numbered);
    let name = names.find(|name| !all.contains(name));
    let name = name.unwrap_or_default();
    all.insert(name.clone());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_comes_back() {
        for text in ["/home", "a \"b\" \\ c\n\t\u{7f}\u{85}'é'\u{202e}", ""] {
            let table: toml::Table = format!("x = {}", quoted(text)).parse().unwrap();
            assert_eq!(table["x"].as_str(), Some(text));
        }
    }

    #[test]
    fn what_is_doubtful_is_commented_out() {
        let mut one = DraftSection::new("[[destination]]");
        one.text("location", "/mnt/disk/");
        one.raw("require_mount", true);
        one.perhaps("refuse it");
        let mut draft = Draft {
            head: vec!["a\nb\u{202e}".to_owned(), String::new()],
            sections: vec![one],
        };
        let live = "# a?b?\n#\n\n[[destination]]\nlocation = \"/mnt/disk/\"\n#require_mount = true # refuse it\n";
        assert_eq!(draft.to_string(), live);
        draft.sections[0].doubtful = true;
        let text = draft.to_string();
        assert!(
            text.lines()
                .all(|line| line.is_empty() || line.starts_with('#')),
            "{text}"
        );
    }
}
