//! Typed values out of a TOML document, each by its full key; what is wrong is said with the key. Knows no
//! meaning.

use super::Setting;
use super::keys::{self, MANY};
use crate::error::{Error, Result};
use crate::text;
use jiff::civil::Time;
use std::ffi::OsString;
use std::path::PathBuf;
use toml::{Table, Value};

/// A document, and what was taken from it.
pub(super) struct ConfigReader {
    name: String,
    table: Table,
    pub(super) entries: Vec<Setting>,
}

impl ConfigReader {
    pub(super) fn new(name: &str, text: &str) -> Result<ConfigReader> {
        let table = text.parse::<Table>().map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            let said = format!("line {line}: {}", error.message());
            Error::usage(format!("cannot use {name}"), said)
        })?;
        let (name, entries) = (name.to_owned(), Vec::new());
        let reader = ConfigReader {
            name,
            table,
            entries,
        };
        reader.check_keys()?;
        Ok(reader)
    }

    /// The error that a key has something wrong about it.
    pub(super) fn wrong(&self, key: &str, said: &str) -> Error {
        Error::usage(format!("cannot use {}", self.name), format!("{key} {said}"))
    }

    fn check_keys(&self) -> Result<()> {
        for (section, value) in &self.table {
            let in_section = |key: &str| key.split_once('.').is_some_and(|(s, _)| s == section);
            let known = keys::all().any(in_section);
            let many = MANY.contains(&section.as_str());
            match value {
                _ if !known => return Err(self.unknown(section)),
                Value::Table(keys) if !many => self.check_section(section, keys)?,
                Value::Array(all) if many && all.iter().all(Value::is_table) => {
                    for keys in all.iter().filter_map(Value::as_table) {
                        self.check_section(section, keys)?;
                    }
                }
                _ if many => {
                    let said = format!("is written [[{section}]], once for each");
                    return Err(self.wrong(section, &said));
                }
                _ => return Err(self.wrong(section, "is a section, written [section]")),
            }
        }
        Ok(())
    }

    fn check_section(&self, section: &str, keys: &Table) -> Result<()> {
        let full = keys.keys().map(|key| format!("{section}.{key}"));
        let unknown = full
            .into_iter()
            .find(|key| keys::all().all(|known| known != key));
        unknown.map_or(Ok(()), |key| Err(self.unknown(&key)))
    }

    /// Takes something from each of the sections of a name.
    pub(super) fn many<T>(
        &mut self,
        section: &str,
        mut take: impl FnMut(&mut ConfigReader) -> Result<T>,
    ) -> Result<Vec<T>> {
        let Some(Value::Array(all)) = self.table.get(section).cloned() else {
            return Ok(Vec::new());
        };
        let mut taken = Vec::new();
        for keys in all {
            let mut one = ConfigReader {
                name: self.name.clone(),
                table: Table::from_iter([(section.to_owned(), keys)]),
                entries: Vec::new(),
            };
            taken.push(take(&mut one)?);
            self.entries.append(&mut one.entries);
        }
        Ok(taken)
    }

    /// Whether there is such a section.
    pub(super) fn has(&self, section: &str) -> bool {
        self.table.contains_key(section)
    }

    /// Whether a key is there.
    pub(super) fn has_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    fn unknown(&self, key: &str) -> Error {
        let last = key.rsplit('.').next().unwrap_or(key);
        let here = keys::all().find(|known| known.rsplit('.').next() == Some(last));
        let sections = keys::all().filter_map(|key| key.split('.').next());
        let found = match key.contains('.') {
            true => here.or_else(|| near(key, keys::all())),
            false => near(key, sections).or(here),
        };
        self.wrong(
            &key.escape_default().to_string(),
            &found.map_or("is unknown".to_owned(), |known| {
                format!("is unknown; did you mean {known}?")
            }),
        )
    }

    fn get(&self, key: &str) -> Option<&Value> {
        let (section, key) = key.split_once('.')?;
        self.table.get(section)?.get(key)
    }

    fn mistyped(&self, key: &str, value: &Value, wanted: &str) -> Error {
        self.wrong(
            key,
            &format!("is {value}, and must be {wanted}", value = brief(value)),
        )
    }

    fn note(&mut self, key: &'static str, value: String, default: bool) {
        self.entries.push(Setting {
            key,
            value,
            default,
        });
    }

    pub(super) fn optional(&mut self, key: &'static str) -> Result<Option<String>> {
        let found = match self.get(key) {
            None => return Ok(None),
            Some(Value::String(text)) if !text.is_empty() => text.clone(),
            Some(other) => {
                return Err(self.mistyped(key, other, "a text in quotes, and not empty"));
            }
        };
        self.note(key, format!("{found:?}"), false);
        Ok(Some(found))
    }

    pub(super) fn required(&mut self, key: &'static str) -> Result<String> {
        self.optional(key)?
            .ok_or_else(|| self.wrong(key, "is missing"))
    }

    pub(super) fn text(&mut self, key: &'static str, default: &str) -> Result<String> {
        Ok(self.optional(key)?.unwrap_or_else(|| {
            self.note(key, format!("{default:?}"), true);
            default.to_owned()
        }))
    }

    /// One of some words, each of which stands for a value.
    pub(super) fn choice<T: Clone>(
        &mut self,
        key: &'static str,
        default: &str,
        all: &[(&str, T)],
    ) -> Result<T> {
        let text = self.text(key, default)?;
        self.among(key, &text, all)
    }

    /// The same, if the file says it.
    pub(super) fn optional_choice<T: Clone>(
        &mut self,
        key: &'static str,
        all: &[(&str, T)],
    ) -> Result<Option<T>> {
        let text = self.optional(key)?;
        text.map(|text| self.among(key, &text, all)).transpose()
    }

    fn among<T: Clone>(&self, key: &str, text: &str, all: &[(&str, T)]) -> Result<T> {
        // btrfs_to_s3 took them in any case.
        let same = |(word, _): &&(&str, T)| word.eq_ignore_ascii_case(text);
        if let Some((_, value)) = all.iter().find(same) {
            return Ok(value.clone());
        }
        let words: Vec<&str> = all.iter().map(|(word, _)| *word).collect();
        let hint = did_you_mean(text, words.iter().copied());
        let (text, words) = (text.escape_default(), words.join(", "));
        let said = format!("is \"{text}\", and must be one of {words}{hint}");
        Err(self.wrong(key, &said))
    }

    pub(super) fn path(&mut self, key: &'static str, default: PathBuf) -> Result<PathBuf> {
        let Some(text) = self.optional(key)? else {
            self.note(key, format!("{default:?}"), true);
            return Ok(default);
        };
        self.absolute(key, text.into())
    }

    /// An absolute path; `~` at its beginning is the home of who runs the program.
    pub(super) fn absolute(&self, key: &str, path: PathBuf) -> Result<PathBuf> {
        let home = || std::env::var_os("HOME").map_or_else(|| "/root".into(), PathBuf::from);
        let path = match path.strip_prefix("~") {
            Ok(below) if below.as_os_str().is_empty() => home(),
            Ok(below) => home().join(below),
            Err(_) => path,
        };
        match path.is_absolute() {
            true => Ok(path),
            false => Err(self.wrong(key, &format!("is {path:?}, and must be an absolute path"))),
        }
    }

    pub(super) fn paths(&mut self, key: &'static str) -> Result<Vec<PathBuf>> {
        let texts = self.list(key, 1, "a list of absolute paths, at least one")?;
        let texts = texts.ok_or_else(|| self.wrong(key, "is missing"))?;
        let paths = texts
            .into_iter()
            .map(|text| self.absolute(key, text.into()));
        let paths = paths.collect::<Result<Vec<_>>>()?;
        self.note(key, format!("{paths:?}"), false);
        Ok(paths)
    }

    /// A list of texts; empty if the file does not say it.
    pub(super) fn texts(&mut self, key: &'static str) -> Result<Vec<OsString>> {
        Ok(self.words(key)?.into_iter().map(OsString::from).collect())
    }

    /// The same, as text.
    pub(super) fn words(&mut self, key: &'static str) -> Result<Vec<String>> {
        const WANTED: &str = "a list of texts in quotes";
        let Some(texts) = self.list(key, 0, WANTED)? else {
            return Ok(Vec::new());
        };
        if texts.iter().any(String::is_empty) {
            return Err(self.mistyped(key, &Value::String(String::new()), WANTED));
        }
        self.note(key, format!("{texts:?}"), false);
        Ok(texts)
    }

    /// The texts of a list that has at least so many; `None` if the file does not say it.
    fn list(&self, key: &str, least: usize, wanted: &str) -> Result<Option<Vec<String>>> {
        let list = match self.get(key) {
            None => return Ok(None),
            Some(Value::Array(list)) if list.len() >= least => list,
            Some(other) => return Err(self.mistyped(key, other, wanted)),
        };
        let text = |value: &Value| match value {
            Value::String(text) => Ok(text.clone()),
            other => Err(self.mistyped(key, other, wanted)),
        };
        list.iter().map(text).collect::<Result<_>>().map(Some)
    }

    /// The texts of a table that a section has, which may have these keys and no other.
    pub(super) fn texts_in<const N: usize>(
        &mut self,
        key: &'static str,
        known: [&str; N],
    ) -> Result<Option<[Option<String>; N]>> {
        let table = match self.get(key) {
            None => return Ok(None),
            Some(Value::Table(table)) => table.clone(),
            Some(other) => return Err(self.mistyped(key, other, "a table: { key = \"value\" }")),
        };
        if let Some(strange) = table.keys().find(|name| !known.contains(&name.as_str())) {
            let (strange, words) = (strange.escape_default(), known.join(", "));
            return Err(self.wrong(key, &format!("has {strange}, and may have {words}")));
        }
        let mut texts = [const { None }; N];
        for (text, name) in texts.iter_mut().zip(known) {
            *text = match table.get(name) {
                None => None,
                Some(Value::String(text)) => Some(text.clone()),
                Some(other) => {
                    let key = format!("{key}.{name}");
                    return Err(self.mistyped(&key, other, "a text in quotes"));
                }
            };
        }
        let shown = known.iter().zip(&texts);
        let shown = shown.filter_map(|(name, text)| Some(format!("{name} = {:?}", text.as_ref()?)));
        let shown = shown.collect::<Vec<_>>().join(", ");
        self.note(key, format!("{{ {shown} }}"), false);
        Ok(Some(texts))
    }

    /// A program by its absolute path, and its arguments.
    pub(super) fn command(&mut self, key: &'static str) -> Result<Option<Vec<String>>> {
        const WANTED: &str = "a list of texts: the absolute path of a program, and its arguments";
        let Some(words) = self.list(key, 1, WANTED)? else {
            return Ok(None);
        };
        self.absolute(key, words[0].clone().into())?;
        self.note(key, format!("{words:?}"), false);
        Ok(Some(words))
    }

    /// Whether this word stands where otherwise a number does.
    pub(super) fn says(&mut self, key: &'static str, word: &str) -> bool {
        let said = matches!(self.get(key), Some(Value::String(text)) if text == word);
        if said {
            self.note(key, format!("{word:?}"), false);
        }
        said
    }

    pub(super) fn number(&mut self, key: &'static str, default: u64, least: u64) -> Result<u64> {
        Ok(self.optional_number(key, least)?.unwrap_or_else(|| {
            self.note(key, default.to_string(), true);
            default
        }))
    }

    pub(super) fn optional_number(&mut self, key: &'static str, least: u64) -> Result<Option<u64>> {
        let wanted = format!("a whole number of at least {least}");
        let found = match self.get(key) {
            None => return Ok(None),
            Some(value) => whole(value)
                .filter(|&number| number >= least)
                .ok_or_else(|| self.mistyped(key, value, &wanted))?,
        };
        self.note(key, found.to_string(), false);
        Ok(Some(found))
    }

    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> Result<bool> {
        let found = match self.get(key) {
            None => None,
            Some(Value::Boolean(flag)) => Some(*flag),
            Some(other) => return Err(self.mistyped(key, other, "true or false")),
        };
        let flag = found.unwrap_or(default);
        self.note(key, flag.to_string(), found.is_none());
        Ok(flag)
    }

    /// `HH:MM`
    pub(super) fn time(&mut self, key: &'static str, default: &str) -> Result<Time> {
        let text = self.text(key, default)?;
        time(&text).ok_or_else(|| self.no_time(key, &text))
    }

    /// The same, if the file says it.
    pub(super) fn optional_time(&mut self, key: &'static str) -> Result<Option<Time>> {
        let text = self.optional(key)?;
        let read = |text: String| time(&text).ok_or_else(|| self.no_time(key, &text));
        text.map(read).transpose()
    }

    fn no_time(&self, key: &str, text: &str) -> Error {
        let text = text.escape_default();
        let said = format!("is \"{text}\", and must be a time from 00:00 to 23:59");
        self.wrong(key, &said)
    }
}

/// The word that a mistyped one comes near: of a long one more letters may be wrong.
fn near<'a>(word: &str, all: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    text::nearest(word, all, (word.chars().count() / 3).max(2))
}

/// A question at the end of an error, if a mistyped word comes near one of these.
pub(super) fn did_you_mean<'a>(word: &str, all: impl Iterator<Item = &'a str>) -> String {
    near(word, all).map_or(String::new(), |near| format!("; did you mean {near}?"))
}

fn time(text: &str) -> Option<Time> {
    let number = |text: &str| {
        let digits = matches!(text.len(), 1 | 2) && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<i8>().ok().filter(|_| digits)
    };
    let (hour, minute) = text.split_once(':')?;
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

/// A whole number, also in the clothes of another type, as btrfs_to_s3 took them.
fn whole(value: &Value) -> Option<u64> {
    // Up to here, each whole number is one of this type.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Float(number) if number.fract() == 0.0 && (0.0..=EXACT).contains(number) => {
            Some(*number as u64)
        }
        Value::String(text) => text.trim().replace('_', "").parse().ok(),
        _ => None,
    }
}

/// A value for an error; a large one only by its kind.
fn brief(value: &Value) -> String {
    match value {
        Value::Table(_) => "a section".to_owned(),
        Value::Array(list) if list.is_empty() => "an empty list".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        Value::Datetime(time) => time.to_string(),
    }
}
