//! Help as a grammar has it: of a program, of a group of commands, and of a command. Knows no command.

use super::grammar::{Command, Name, Opt, Program, Usage};

/// Where the words of an option begin, and where lines end.
const COLUMN: usize = 25;
const WIDTH: usize = 98;

/// What the Makefile says of the sources; with `-dirty` behind it, if they were altered since.
const COMMIT: Option<&str> = option_env!("BUTTERSINK_COMMIT");

impl<O, F: Copy + PartialEq> Program<O, F> {
    pub(super) fn version(&self) -> String {
        let features: &[(&str, bool)] = &[
            ("static", cfg!(target_feature = "crt-static")),
            ("fuzz", cfg!(feature = "fuzz")),
        ];
        let built = features.iter().filter(|(_, built)| *built);
        let built: Vec<&str> = built.map(|(feature, _)| *feature).collect();
        let built = if built.is_empty() {
            "none".to_owned()
        } else {
            built.join(" ")
        };
        let (name, version) = (self.name, env!("CARGO_PKG_VERSION"));
        let commit = COMMIT.filter(|commit| !commit.is_empty());
        let commit = commit.unwrap_or("not recorded, for it was built without git");
        format!("{name} {version}\ncommit: {commit}\nfeatures: {built}\n")
    }

    /// Of a command; of the program if none is named.
    pub(super) fn help(&self, command: Option<&Command<F>>) -> String {
        match command {
            Some(command) if command.usages.is_empty() => self.group(command),
            Some(command) => self.of_command(command),
            None if self.commands.len() == 1 => self.of_command(&self.commands[0]),
            None => format!(
                "{}\ncommands:\n{}{}",
                self.about,
                self.listed(""),
                self.own("help version")
            ),
        }
    }

    fn group(&self, command: &Command<F>) -> String {
        let full = self.full(command);
        let listed = self.listed(&format!("{} ", command.name));
        format!(
            "{full} {}.\n\nusage: {full} COMMAND ...\n\ncommands:\n{listed}{}{}",
            command.about,
            self.own("help"),
            examples(command)
        )
    }

    /// The commands whose names begin so, and what they do.
    fn listed(&self, prefix: &str) -> String {
        let all = self.commands.iter().filter(|c| c.name.starts_with(prefix));
        // What is in a group is shown by its help.
        let here = all.filter(|c| prefix.contains(' ') || !c.name.contains(' '));
        here.map(|c| row(&format!("  {}", c.name), c.about))
            .collect()
    }

    /// The options of the program itself.
    fn own(&self, wanted: &str) -> String {
        let all = self.options().map(|option| &option.name);
        let own = all.filter(|name| wanted.contains(name.long));
        format!("\noptions:\n{}", own.map(of_option).collect::<String>())
    }

    fn of_command(&self, command: &Command<F>) -> String {
        let full = self.full(command);
        let mut text = format!("{full} {}.\n\n", command.about);
        for (at, usage) in command.usages.iter().enumerate() {
            let head = if at == 0 { "usage:" } else { "      " };
            text += &format!("{head} {full} {}\n", usage.words);
        }
        if !command.text.is_empty() {
            text += &format!("\n{}", command.text);
        }
        text += &self.listed_options(command);
        let codes = command.exit.iter();
        let codes = codes.map(|(code, meaning)| format!("  {code:<4} {meaning}\n"));
        text += &titled("exit status", &codes.collect::<String>());
        text + &examples(command)
    }

    /// By section, and first what all the ways to use the command have.
    fn listed_options(&self, command: &Command<F>) -> String {
        let mut text = String::new();
        for section in self.sections {
            let own = section.options.iter().filter(|option| command.has(option));
            let own = own.map(|option| (limits(command.usages, option), of_option(&option.name)));
            let own: Vec<_> = own.collect();
            let mut seen: Vec<&str> = vec![""];
            seen.extend(own.iter().map(|(limit, _)| limit.as_str()));
            for (at, limit) in seen.iter().enumerate() {
                let lines = own.iter().filter(|(other, _)| other == limit);
                let lines: String = lines.map(|(_, line)| line.as_str()).collect();
                if !seen[..at].contains(limit) {
                    text += &titled(&format!("{}{limit}", section.title), &lines);
                }
            }
        }
        text
    }
}

/// Some lines with a title, if there are any.
fn titled(title: &str, lines: &str) -> String {
    match lines {
        "" => String::new(),
        lines => format!("\n{title}:\n{lines}"),
    }
}

fn examples<F>(command: &Command<F>) -> String {
    let lines = command.examples.iter().map(|line| format!("  {line}\n"));
    titled("examples", &lines.collect::<String>())
}

/// In which of the ways to use a command an option is, if not in all.
fn limits<O, F: Copy + PartialEq>(usages: &[Usage<F>], option: &Opt<O, F>) -> String {
    let has = |usage: &&Usage<F>| option.of.contains(&usage.form);
    if option.of.is_empty() || usages.iter().all(|usage| has(&usage)) {
        return String::new();
    }
    let with = usages.iter().filter(has).filter_map(|usage| usage.when);
    let without = usages
        .iter()
        .filter(|usage| !has(usage))
        .filter_map(|usage| usage.when);
    let plain = usages.iter().filter(has).any(|usage| usage.when.is_none());
    let (head, names): (_, Vec<_>) = match plain {
        true => ("not with", without.collect()),
        false => ("with", with.collect()),
    };
    // What chooses a way is not said to belong to it.
    match names[..] == [option.name.long] {
        true => String::new(),
        false => format!(", {head} --{}", names.join(" or --")),
    }
}

fn of_option(name: &Name) -> String {
    let short = name
        .short
        .map_or("    ".to_owned(), |letter| format!("-{letter}, "));
    let value = match (name.value, name.optional) {
        (Some(value), false) => format!(" {value}"),
        (Some(value), true) => format!("[={value}]"),
        (None, _) => String::new(),
    };
    let head = format!("  {short}--{}{value}", name.long);
    row(&head, name.help)
}

/// A head, and words in the column beside it; below it, if it is too long.
fn row(head: &str, words: &str) -> String {
    let mut lines = vec![format!("{head:<COLUMN$}")];
    if head.len() >= COLUMN {
        lines = vec![head.to_owned(), " ".repeat(COLUMN)];
    }
    for word in words.split(' ') {
        let line = lines.last_mut().map_or(0, |line| line.len());
        if line > COLUMN && line + 1 + word.len() > WIDTH {
            lines.push(" ".repeat(COLUMN));
        }
        if let Some(line) = lines.last_mut() {
            let gap = if line.len() > COLUMN { " " } else { "" };
            *line += &format!("{gap}{word}");
        }
    }
    lines.join("\n") + "\n"
}
