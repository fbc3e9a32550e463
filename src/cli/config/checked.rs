//! What checking configurations came to: told as it is found, or in one object at the end. Finds nothing itself.

use crate::backup::config::{Config, Setting};
use crate::error::{Error, Result};
use crate::event::{Event, Fault, FaultKind, Weight};
use crate::progress::{Progress, Verbosity};
use crate::report;
use crate::snapshot::{path_text, shown};
use crate::store::BucketRemark;
use serde::Serialize;
use std::path::{Path, PathBuf};

pub(super) struct Checked {
    progress: Progress,
    /// What is told at the end.
    json: Option<Object>,
}

#[derive(Default, Serialize)]
struct Object {
    files: Vec<CheckedFile>,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct CheckedFile {
    #[serde(with = "path_text")]
    file: PathBuf,
    settings: Vec<Setting>,
    due: Vec<DueWork>,
    remarks: Vec<String>,
}

#[derive(Serialize)]
struct DueWork {
    #[serde(with = "path_text")]
    subvolume: PathBuf,
    what: String,
    due: bool,
}

#[derive(Serialize)]
struct Finding {
    #[serde(with = "path_text")]
    file: PathBuf,
    #[serde(flatten)]
    fault: Fault,
}

impl Checked {
    pub(super) fn new(verbosity: Verbosity, json: bool) -> Checked {
        Checked {
            progress: Progress::new(verbosity, false),
            json: json.then(Object::default),
        }
    }

    /// What follows is of this file.
    pub(super) fn begin(&mut self, file: &Path, one_of_many: bool) -> Result<()> {
        if let Some(object) = &mut self.json {
            object.files.push(CheckedFile {
                file: file.to_owned(),
                settings: Vec::new(),
                due: Vec::new(),
                remarks: Vec::new(),
            });
        } else if one_of_many {
            report::print(&format!("# {}\n", shown(file)))?;
        }
        Ok(())
    }

    /// How the file was understood.
    pub(super) fn settings(&mut self, config: &Config) -> Result<()> {
        if let Some(file) = self.file() {
            file.settings.clone_from(&config.entries);
            return Ok(());
        }
        let mut text = String::new();
        for entry in &config.entries {
            let default = if entry.default { "  # default" } else { "" };
            text += &format!("{} = {}{default}\n", entry.key, shown(&entry.value));
        }
        report::print(&(text + "\n"))
    }

    fn file(&mut self) -> Option<&mut CheckedFile> {
        self.json.as_mut()?.files.last_mut()
    }

    /// The file is none; the error is the caller's to tell.
    pub(super) fn unreadable(&mut self, error: &Error) {
        self.add(Fault::failing(FaultKind::File, "", error));
    }

    fn add(&mut self, fault: Fault) {
        if let Some(object) = &mut self.json
            && let Some(last) = object.files.last()
        {
            let file = last.file.clone();
            object.findings.push(Finding { file, fault });
        }
    }

    /// Something was found that a run goes on with.
    pub(super) fn harmful(&mut self, kind: FaultKind, key: &str, words: &str) {
        self.add(Fault::harmful(kind, key, words));
        if self.json.is_none() {
            self.progress.result(&words);
        }
    }

    /// What a bucket does by itself.
    pub(super) fn bucket(&mut self, remark: &BucketRemark) {
        match remark.hurts {
            true => self.harmful(FaultKind::Lifecycle, "", &remark.words),
            false => self.result(remark.words.clone()),
        }
    }

    /// Something that is as it is.
    pub(super) fn result(&mut self, words: String) {
        match self.file() {
            Some(file) => file.remarks.push(words),
            None => self.progress.result(&words),
        }
    }

    /// A remark for a person.
    pub(super) fn note(&mut self, words: String) {
        self.progress.note(words);
    }

    /// An error that is not the last word.
    pub(super) fn fail(&mut self, error: &Error) {
        self.progress.fail(error);
    }

    /// Something was found.
    pub(super) fn hear(&mut self, event: Event) {
        if self.json.is_none() {
            return self.progress.hear(&event);
        }
        match event.weight() {
            Weight::Remark => self.progress.say(&event.to_string()),
            Weight::Failure => event
                .error()
                .into_iter()
                .for_each(|error| self.progress.fail(error)),
            _ => {}
        }
        match event {
            Event::Fault(fault) => self.add(*fault),
            Event::Due {
                subvolume,
                what,
                due,
            } => self.file().into_iter().for_each(|file| {
                file.due.push(DueWork {
                    subvolume: subvolume.clone(),
                    what: what.clone(),
                    due,
                });
            }),
            _ => {}
        }
    }

    /// Says what is said at the end.
    ///
    /// # Errors
    /// If something could not be written.
    pub(super) fn close(mut self) -> Result<()> {
        if let Some(object) = &self.json {
            report::print(&(report::json(object) + "\n"))?;
        }
        self.progress.close()
    }
}
