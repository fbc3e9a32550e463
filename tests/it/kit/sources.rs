//! Rust sources as the layering test sees them: code without comments, string contents and test
//! modules, and the paths that it names. Knows just enough of the language for that.

/// A source file: its path from the top of the project, and its text.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub path: String,
    pub text: String,
}

impl Source {
    /// What is compiled into the product: no comments, no string contents, no test modules.
    pub(crate) fn code(&self) -> String {
        without_tests(&without_comments(&self.text))
    }

    /// Lines before the test module.
    pub(crate) fn lines(&self) -> usize {
        let tests = self.text.lines().position(|l| l == "#[cfg(test)]");
        tests.unwrap_or_else(|| self.text.lines().count())
    }

    /// `store::local` for `src/store/local.rs`; nothing for programs and `lib.rs`.
    pub(crate) fn module(&self) -> Option<String> {
        let path = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        (path != "lib" && !path.starts_with("bin/")).then(|| path.replace('/', "::"))
    }
}

/// Blanks comments and what stands between quotes; lines stay where they are.
pub(crate) fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = blank_length(rest, code.chars().last());
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let (blank, after) = rest.split_at(length);
            code.push(' ');
            code.extend(blank.chars().filter(|&c| c == '\n'));
            rest = after;
        }
    }
    code
}

/// How many bytes of a comment or literal stand at the beginning of `rest`; 0 if none does.
fn blank_length(rest: &str, before: Option<char>) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    if rest.starts_with('\'') {
        return character(rest);
    }
    let in_word = before.is_some_and(is_word);
    if rest.starts_with('r') && (!in_word || before == Some('b')) {
        return raw_string(rest);
    }
    0
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length of a literal with backslash escapes, both quotes included.
fn quoted(rest: &str, quote: char) -> usize {
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => drop(characters.next()),
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A character literal, but not a lifetime.
fn character(rest: &str) -> usize {
    let mut next = rest.chars().skip(1);
    match (next.next(), next.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => quoted(rest, '\''),
        _ => 0,
    }
}

fn raw_string(rest: &str) -> usize {
    let hashes = rest[1..].bytes().take_while(|&b| b == b'#').count();
    if !rest[1 + hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = hashes + 2;
    rest[start..]
        .find(&end)
        .map_or(rest.len(), |at| start + at + end.len())
}

/// Removes `#[cfg(test)] mod … { … }` and whatever else the attribute stands before.
fn without_tests(code: &str) -> String {
    let mark = "#[cfg(test)]";
    let Some(start) = code.find(mark) else {
        return code.to_owned();
    };
    let item = &code[start + mark.len()..];
    let end = item.find(['{', ';']).map_or(item.len(), |at| {
        if item[at..].starts_with('{') {
            at + block_length(&item[at..])
        } else {
            at + 1
        }
    });
    format!("{}{}", &code[..start], without_tests(&item[end..]))
}

fn block_length(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The words of code, with `::`, braces, commas and the rest as words of one character.
pub(crate) fn words(code: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        words.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    words
}

/// Every path in the code, groups spelt out: `std::{fs, io::Read}` names `std::fs` and
/// `std::io::Read`.
pub(crate) fn paths(code: &str) -> Vec<String> {
    let words = words(code);
    let mut paths = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let starts = words[at].starts_with(is_word) && words.get(at + 1) == Some(&"::");
        if starts {
            at = path(&words, at, "", &mut paths);
        } else {
            at += 1;
        }
    }
    paths
}

/// Reads the path that starts at a word, and says where it ends.
fn path(words: &[&str], mut at: usize, before: &str, paths: &mut Vec<String>) -> usize {
    let mut name = before.to_owned();
    while let Some(&word) = words.get(at) {
        if word == "{" && name.ends_with("::") {
            return group(words, at + 1, &name, paths);
        }
        if word != "::" && !(word.starts_with(is_word) && (name.is_empty() || name.ends_with("::")))
        {
            break;
        }
        name.push_str(word);
        at += 1;
    }
    paths.push(name.trim_end_matches("::").to_owned());
    at
}

fn group(words: &[&str], mut at: usize, before: &str, paths: &mut Vec<String>) -> usize {
    while let Some(&word) = words.get(at) {
        match word {
            "}" => return at + 1,
            word if word.starts_with(is_word) => at = path(words, at, before, paths),
            _ => at += 1,
        }
    }
    at
}
