//! Options by their names: each sets one value. What follows from them is elsewhere.

use super::values::{number, part_size, rate, text};
use super::{wrong, wrong_words};
use crate::error::Result;
use crate::progress::Verbosity;
use crate::store::{BucketOptions, ReceiveWith, SshOptions};
use lexopt::Parser;
use std::ffi::OsString;
use std::path::PathBuf;

/// Options of all commands.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) dry_run: bool,
    pub(super) delete: bool,
    pub(super) estimate: bool,
    /// Nothing is made out of anything else.
    pub(super) whole: bool,
    /// A source without snapshots is none that somebody forgot to mount.
    pub(super) allow_empty: bool,
    pub(super) compare: bool,
    pub(super) resend: Vec<OsString>,
    pub(super) exclude: Vec<OsString>,
    pub(super) verbosity: Verbosity,
    pub(super) logfile: Option<PathBuf>,
    pub(super) json: bool,
    pub(super) full_speed: bool,
    pub(super) compressed: bool,
    pub(super) receive_with: Option<ReceiveWith>,
    pub(super) max_chain: usize,
    pub(super) ssh: SshOptions,
    pub(super) s3: BucketOptions,
}

impl Options {
    /// What holds if nothing is said.
    pub(super) fn new() -> Options {
        let mut ssh = SshOptions::default();
        if let Some(command) = std::env::var_os("BUTTERSINK_SSH").filter(|text| !text.is_empty()) {
            ssh.command = command;
        }
        Options {
            dry_run: false,
            delete: false,
            estimate: false,
            whole: false,
            allow_empty: false,
            compare: false,
            resend: Vec::new(),
            exclude: Vec::new(),
            verbosity: Verbosity::Full,
            logfile: None,
            json: false,
            full_speed: false,
            compressed: false,
            receive_with: Options::environment().ok().flatten(),
            max_chain: 30,
            ssh,
            s3: BucketOptions::default(),
        }
    }

    /// How snapshots are received as far as the environment says.
    pub(super) fn environment() -> Result<Option<ReceiveWith>> {
        let name = "BUTTERSINK_RECEIVE_WITH";
        let word = std::env::var_os(name).filter(|text| !text.is_empty());
        word.map(|word| text(name, &word)?.parse()).transpose()
    }

    /// Sets the option of this name, and takes its value from the words that follow.
    pub(super) fn set(&mut self, name: &str, words: &mut Parser) -> Result<()> {
        match name {
            "-n" | "--dry-run" => self.dry_run = true,
            "-d" | "--delete" => self.delete = true,
            "-e" | "--estimate" => self.estimate = true,
            "--compare" => self.compare = true,
            "--resend" => self.resend.push(words.value().map_err(wrong)?),
            "-q" | "--quiet" => self.verbosity = self.verbosity.quieter(),
            "--json" => self.json = true,
            "--full-speed" => self.full_speed = true,
            "--compressed-data" => self.compressed = true,
            "--receive-with" => {
                let word = text(name, &words.value().map_err(wrong)?)?;
                self.receive_with = Some(word.parse()?);
            }
            "--exclude" => self.exclude.push(words.value().map_err(wrong)?),
            "-l" | "--logfile" => self.logfile = Some(words.value().map_err(wrong)?.into()),
            "--max-chain" => self.max_chain = number(name, &words.value().map_err(wrong)?)?,
            "--bwlimit" => {
                let rate = Some(rate(&words.value().map_err(wrong)?)?);
                (self.ssh.bwlimit, self.s3.bwlimit) = (rate, rate);
            }
            _ => return self.set_ssh(name, words),
        }
        Ok(())
    }

    /// How far sides are reached.
    fn set_ssh(&mut self, name: &str, words: &mut Parser) -> Result<()> {
        let mut value = || words.value().map_err(wrong);
        match name {
            "--ssh-command" => self.ssh.command = value()?,
            "--ssh-option" => self.ssh.options.push(value()?),
            "--remote-sudo" => self.ssh.sudo = value()?,
            "--remote-command" => self.ssh.remote = value()?,
            _ => return self.set_s3(name, words),
        }
        Ok(())
    }

    /// How buckets are reached and used.
    fn set_s3(&mut self, name: &str, words: &mut Parser) -> Result<()> {
        let mut value = || words.value().map_err(wrong);
        match name {
            "--endpoint-url" => self.s3.endpoint_url = Some(text(name, &value()?)?),
            "--region" => self.s3.region = Some(text(name, &value()?)?),
            "--profile" => self.s3.profile = Some(text(name, &value()?)?),
            "--storage-class" => self.s3.storage_class = Some(text(name, &value()?)?),
            "--s3-quirks" => self.s3.quirks = Some(text(name, &value()?)?),
            "--part-size" => self.s3.part_size = Some(part_size(&value()?)?),
            "-j" | "--concurrency" => self.s3.concurrency = number(name, &value()?)?,
            "--checksum" => self.s3.checksum = Some(text(name, &value()?)?.parse()?),
            "--sse" => self.s3.sse = text(name, &value()?)?.parse()?,
            _ => return Err(wrong_words(&format!("there is no option {name}"))),
        }
        Ok(())
    }
}

impl Verbosity {
    fn quieter(self) -> Verbosity {
        if self == Verbosity::Full {
            Verbosity::Results
        } else {
            Verbosity::Errors
        }
    }
}
