//! What the command line of the tests asks for, in the words that Rust's own harness knows, so that
//! `cargo test`, `cargo nextest` and editors can ask. Knows no test.

use lexopt::prelude::*;
use std::ffi::OsString;

/// How outcomes are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Format {
    Pretty,
    Terse,
    Json,
}

/// What is asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Words {
    /// Run this one here, in this process.
    pub only: Option<String>,
    pub list: bool,
    pub format: Format,
    pub exact: bool,
    /// Those that are marked as ignored, of which there are none.
    pub ignored: bool,
    /// Show what passing tests said.
    pub shown: bool,
    pub skip: Vec<String>,
    pub filters: Vec<String>,
    /// How many run at a time.
    pub threads: Option<usize>,
}

impl Words {
    pub(crate) fn read<I>(words: I) -> Result<Words, lexopt::Error>
    where
        I: IntoIterator<Item: Into<OsString>>,
    {
        let mut asked = Words {
            only: None,
            list: false,
            format: Format::Pretty,
            exact: false,
            ignored: false,
            shown: false,
            skip: Vec::new(),
            filters: Vec::new(),
            threads: threads(std::env::var("RUST_TEST_THREADS").ok().as_deref()),
        };
        let mut parser = lexopt::Parser::from_args(words);
        while let Some(word) = parser.next()? {
            match word {
                Value(filter) => asked.filters.push(filter.string()?),
                Long("only") => asked.only = Some(parser.value()?.string()?),
                Long("list") => asked.list = true,
                Long("exact") => asked.exact = true,
                Long("ignored") => asked.ignored = true,
                Long("nocapture" | "no-capture" | "show-output") => asked.shown = true,
                Long("skip") => asked.skip.push(parser.value()?.string()?),
                Short('q') | Long("quiet") => asked.format = Format::Terse,
                Long("format") => asked.format = format(&parser.value()?.string()?)?,
                Long("test-threads") => {
                    asked.threads = threads(Some(&parser.value()?.string()?));
                }
                // What would change nothing here.
                Long("include-ignored" | "test" | "report-time") => {}
                Long("color") | Short('Z') => drop(parser.value()?),
                other => return Err(other.unexpected()),
            }
        }
        Ok(asked)
    }

    /// Whether a test of this name is asked for.
    pub(crate) fn choose(&self, name: &str) -> bool {
        let fits = |word: &String| match self.exact {
            true => name == word,
            false => name.contains(word.as_str()),
        };
        !self.ignored
            && (self.filters.is_empty() || self.filters.iter().any(fits))
            && !self.skip.iter().any(fits)
    }
}

fn format(word: &str) -> Result<Format, lexopt::Error> {
    match word {
        "pretty" => Ok(Format::Pretty),
        "terse" => Ok(Format::Terse),
        "json" => Ok(Format::Json),
        _ => Err(format!("no such format: {word}").into()),
    }
}

fn threads(word: Option<&str>) -> Option<usize> {
    word?.parse().ok().filter(|&number| number > 0)
}
