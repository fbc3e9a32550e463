//! The lines of `btrbk.conf`: a word, and what follows it. Knows no word.

/// A line that says something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    /// The number of the line, counted from 1.
    pub(super) line: usize,
    /// The word, in lower case.
    pub(super) key: String,
    /// Without comment, blanks around it, and quotes; `yes` if nothing follows.
    pub(super) value: String,
}

/// A line that btrbk refuses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) said: String,
}

impl Entry {
    /// It is refused, and why.
    pub(super) fn wrong(&self, said: &str) -> Wrong {
        let Entry { line, key, value } = self;
        Wrong {
            line: *line,
            said: format!(
                "{} {}: {said}",
                key.escape_default(),
                value.escape_default()
            ),
        }
    }
}

/// All that say something.
pub(super) fn read(text: &str) -> Result<Vec<Entry>, Wrong> {
    let lines = text.lines().zip(1..);
    let lines = lines.map(|(text, line)| (uncommented(text).trim(), line));
    let said = lines.filter(|(text, _)| !text.is_empty());
    said.map(|(text, line)| entry(text, line)).collect()
}

fn entry(text: &str, line: usize) -> Result<Entry, Wrong> {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (key, value) = text.split_at(end);
    if !key.chars().all(|c| c.is_ascii_alphabetic() || c == '_') {
        let said = format!("'{}' is no option of btrbk", key.escape_default());
        return Err(Wrong { line, said });
    }
    let value = match unquoted(value.trim()) {
        "" => "yes",
        value => value,
    };
    Ok(Entry {
        line,
        key: key.to_ascii_lowercase(),
        value: value.to_owned(),
    })
}

/// Up to the first `#` that stands in no quotes. A quote that nobody closes is a letter.
fn uncommented(text: &str) -> &str {
    let mut at = 0;
    while let Some(found) = text[at..].find(['#', '"', '\'']) {
        at += found;
        let (sign, rest) = text[at..].split_at(1);
        at += match rest.find(sign) {
            _ if sign == "#" => return &text[..at],
            Some(close) => close + 2,
            None => 1,
        };
    }
    text
}

/// Without the quotes around it.
pub(super) fn unquoted(text: &str) -> &str {
    let within = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_quotes() {
        let text = "# all\n\n  Volume\t\"/mnt/a #b\"  # c\nsubvolume it's # d\nnoauto\ngroup a b\n";
        let read: Vec<_> = read(text).unwrap();
        let read: Vec<_> = read.iter().map(|e| (e.line, &*e.key, &*e.value)).collect();
        let expected = [
            (3, "volume", "/mnt/a #b"),
            (4, "subvolume", "it's"),
            (5, "noauto", "yes"),
            (6, "group", "a b"),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_no_option_is_refused() {
        assert_eq!(read("a b\n/home x\n").unwrap_err().line, 2);
    }
}
