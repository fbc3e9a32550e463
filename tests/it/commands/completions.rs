//! The completions for bash, zsh and fish: made from what the programs can be told, kept in files, and
//! tried in those shells.

use super::is_kept;
use crate::runner::Test;
use crate::support::{binary, here, need, output};
use crate::tests;
use buttersink::cli::{Described, Hint, Name, programs};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const TESTS: &[Test] = tests![
    completions_are_the_ones_that_are_kept,
    bash_completes,
    zsh_completes,
    fish_completes,
];

const MADE: &str = "Made from the table of options by tests/it/commands/completions.rs.";

fn completions_are_the_ones_that_are_kept() {
    let file = |name: &str| format!("contrib/completions/{name}");
    is_kept(&file("buttersink.bash"), &bash());
    is_kept(&file("_buttersink"), &zsh());
    for program in programs() {
        is_kept(&file(&format!("{}.fish", program.name)), &fish(&program));
    }
}

/// A command's first word, what it does, and its options in all the ways in which it is used.
struct Known {
    word: &'static str,
    about: &'static str,
    /// What follows the first word of a group.
    members: Vec<(&'static str, &'static str)>,
    options: Vec<Name>,
}

fn known(program: &Described) -> Vec<Known> {
    let mut all: Vec<Known> = Vec::new();
    for offer in &program.offers {
        let (word, member) = match offer.command.split_once(' ') {
            Some((word, member)) => (word, Some((member, offer.about))),
            None => (offer.command, None),
        };
        if !all.iter().any(|known| known.word == word) {
            all.push(Known {
                word,
                about: offer.about,
                members: Vec::new(),
                options: Vec::new(),
            });
        }
        let known = all.iter_mut().find(|known| known.word == word).unwrap();
        known.members.extend(member);
        add(&mut known.options, &offer.options);
    }
    all
}

/// Those whose names are not there yet.
fn add(all: &mut Vec<Name>, more: &[Name]) {
    for name in more {
        if !all.iter().any(|known| known.long == name.long) {
            all.push(*name);
        }
    }
}

/// What may be typed if no command is named: `sync` and `list` are meant then.
fn unnamed(program: &Described, all: &[Known]) -> Vec<Name> {
    let mut options = Vec::new();
    for known in all
        .iter()
        .filter(|k| matches!(k.word, "" | "sync" | "list"))
    {
        add(&mut options, &known.options);
    }
    add(&mut options, &program.own);
    options
}

fn spelled(options: &[Name]) -> String {
    let spelled = options.iter().map(|name| match name.short {
        Some(letter) => format!("-{letter} --{}", name.long),
        None => format!("--{}", name.long),
    });
    spelled.collect::<Vec<_>>().join(" ")
}

/// What the sections of AWS's files are called, for `sed`.
const PROFILES: &str = r"s/^\[\(profile \)\{0,1\}\([^]]*\)\]$/\2/p";

/// A member of each line of `--json` that has it, for `sed`; several in one line by `grep` before it.
fn member(name: &str) -> String {
    format!(r#"s/.*"{name}":"\([^"]*\)".*/\1/p"#)
}

/// Functions that look for values, in bash. Names are somebody else's, and `compgen -W` would carry out what
/// stands in them.
fn bash_values() -> String {
    let (subvolume, path) = (member("subvolume"), member("path"));
    format!(
        "_buttersink_values() {{\n    local value\n    while IFS= read -r value; do\n        \
         [[ $value != \"$word\"* ]] || COMPREPLY+=(\"$(printf %q \"$value\")\")\n    done\n}}\n\
         _buttersink_profiles() {{\n    sed -n '{PROFILES}' \"${{AWS_CONFIG_FILE:-$HOME/.aws/config}}\" \\\n        \
         \"${{AWS_SHARED_CREDENTIALS_FILE:-$HOME/.aws/credentials}}\" 2>/dev/null | sort -u\n}}\n\
         _buttersink_subvolumes() {{\n    local i\n    for ((i = 1; i + 1 < COMP_CWORD; i++)); do\n        \
         [[ ${{COMP_WORDS[i]}} != --config ]] ||\n            \
         buttersink status --json --config \"${{COMP_WORDS[i + 1]}}\" 2>/dev/null |\n            \
         sed -n '{subvolume}' | sort -u\n    done\n}}\n\
         _buttersink_snapshots() {{\n    local place\n    for place in \"${{COMP_WORDS[@]:1}}\"; do\n        \
         [[ $place != */ || ! -d $place ]] ||\n            \
         buttersink list --json \"$place\" 2>/dev/null | grep -o '\"path\":\"[^\"]*\"' | sed -n '{path}'\n    done\n}}\n"
    )
}

fn bash() -> String {
    let mut text = format!(
        "# Completion of buttersink, btrfslist and checksumdir for bash. {MADE}\n\n\
         _buttersink_words() {{ mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$word\"); }}\n\
         _buttersink_names() {{ mapfile -t COMPREPLY < <(compgen \"$1\" -- \"$word\"); compopt -o filenames; }}\n"
    );
    text += &bash_values();
    for program in programs() {
        bash_function(&mut text, &program);
    }
    for program in programs() {
        writeln!(text, "complete -F _{0} {0}", program.name).unwrap();
    }
    text
}

fn bash_function(text: &mut String, program: &Described) {
    let all = known(program);
    let mut every = Vec::new();
    program
        .offers
        .iter()
        .for_each(|offer| every.extend_from_slice(&offer.options));
    every.sort_by_key(|name| (name.long, name.hint == Hint::Anything));
    every.dedup_by_key(|name| name.long);
    let line = &mut |words: String| *text += &(words + "\n");
    line(format!("\n_{}() {{", program.name));
    line("    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command='' options i".to_owned());
    line("    COMPREPLY=()\n    case $before in".to_owned());
    for (done, names) in by_hint(&every) {
        line(format!("    {names}) {done}return ;;"));
    }
    line("    esac".to_owned());
    let words: Vec<&str> = all
        .iter()
        .map(|known| known.word)
        .filter(|w| !w.is_empty())
        .collect();
    if !words.is_empty() {
        line("    for ((i = 1; i < COMP_CWORD; i++)); do".to_owned());
        line(format!(
            "        case ${{COMP_WORDS[i]}} in {}) command=${{COMP_WORDS[i]}}; break ;; esac",
            words.join(" | ")
        ));
        line("    done".to_owned());
    }
    line("    case $command in".to_owned());
    for known in all.iter().filter(|known| !known.word.is_empty()) {
        line(format!(
            "    {}) options='{}' ;;",
            known.word,
            spelled(&known.options)
        ));
    }
    line(format!(
        "    *) options='{}' ;;\n    esac",
        spelled(&unnamed(program, &all))
    ));
    for known in all.iter().filter(|known| !known.members.is_empty()) {
        let members: Vec<&str> = known.members.iter().map(|(name, _)| *name).collect();
        line(format!(
            "    [[ $before != {} ]] || {{ _buttersink_words '{}'; return; }}",
            known.word,
            members.join(" ")
        ));
    }
    line("    if [[ $word == -* ]]; then".to_owned());
    line("        _buttersink_words \"$options\"".to_owned());
    line("        return\n    fi".to_owned());
    let names = match program.name {
        "checksumdir" => {
            "    mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n    compopt -o filenames\n}"
        }
        "btrfslist" => {
            "    mapfile -t COMPREPLY < <(compgen -d -- \"$word\")\n    compopt -o filenames\n}"
        }
        _ => {
            "    mapfile -t COMPREPLY < <(compgen -W \"$commands\" -- \"$word\"; compgen -d -S / -- \"$word\")\n    compopt -o filenames -o nospace\n}"
        }
    };
    if program.name == "buttersink" {
        let words = words.iter().filter(|word| !word.starts_with('-')).copied();
        line(format!(
            "    local commands=\n    [ -n \"$command\" ] || commands='{}'",
            words.collect::<Vec<_>>().join(" ")
        ));
    }
    line(names.to_owned());
}

/// What completes a value, and the options that have such a one, as patterns.
fn by_hint(every: &[Name]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for name in every.iter().filter(|n| n.value.is_some() && !n.optional) {
        let spelled = spelled(&[*name]).replace(' ', " | ");
        let done = match name.hint {
            Hint::Anything => String::new(),
            Hint::File => "_buttersink_names -f; ".to_owned(),
            Hint::Directory => "_buttersink_names -d; ".to_owned(),
            Hint::Profile => "_buttersink_values < <(_buttersink_profiles); ".to_owned(),
            Hint::SubvolumeName => "_buttersink_values < <(_buttersink_subvolumes); ".to_owned(),
            Hint::SnapshotName => "_buttersink_values < <(_buttersink_snapshots); ".to_owned(),
            Hint::OneOf(words) => format!("_buttersink_words '{}'; ", words.join(" ")),
        };
        match found.iter_mut().find(|(known, _)| *known == done) {
            Some((_, names)) => *names += &format!(" | {spelled}"),
            None => found.push((done, spelled)),
        }
    }
    found
}

/// The same in zsh.
fn zsh_values() -> String {
    let (subvolume, path) = (member("subvolume"), member("path"));
    format!(
        "\n_buttersink_profiles() {{\n    compadd -- ${{(f)\"$(sed -n '{PROFILES}' ${{AWS_CONFIG_FILE:-$HOME/.aws/config}} \\\n        \
         ${{AWS_SHARED_CREDENTIALS_FILE:-$HOME/.aws/credentials}} 2>/dev/null | sort -u)\"}}\n}}\n\
         \n_buttersink_subvolumes() {{\n    local file=${{(Q)words[${{words[(i)--config]}}+1]}}\n    \
         compadd -- ${{(f)\"$(buttersink status --json --config $file 2>/dev/null | sed -n '{subvolume}' | sort -u)\"}}\n}}\n\
         \n_buttersink_snapshots() {{\n    local place\n    for place in ${{(M)${{(Q)words}}:#*/}}; do\n        \
         [[ ! -d $place ]] || compadd -- ${{(f)\"$(buttersink list --json $place 2>/dev/null |\n            \
         grep -o '\"path\":\"[^\"]*\"' | sed -n '{path}')\"}}\n    done\n}}\n"
    )
}

fn zsh() -> String {
    let mut text = format!(
        "#compdef buttersink btrfslist checksumdir\n# Completion of buttersink, btrfslist and checksumdir for zsh. {MADE}\n"
    );
    text += &zsh_values();
    for program in programs() {
        zsh_function(&mut text, &program);
    }
    text + "\n_${service}_program\n"
}

fn zsh_function(text: &mut String, program: &Described) {
    let all = known(program);
    let words: Vec<&str> = all
        .iter()
        .map(|known| known.word)
        .filter(|w| !w.is_empty())
        .collect();
    if !words.is_empty() {
        *text += &format!(
            "\n_{}_place() {{\n    local -a commands=()\n    [[ -n $command ]] || commands=(\n",
            program.name
        );
        for known in all.iter().filter(|known| !known.word.starts_with('-')) {
            *text += &format!("        '{}:{}'\n", known.word, zsh_text(known.about));
        }
        *text += "    )\n    _describe command commands\n    _files -/\n}\n";
    }
    for known in all.iter().filter(|known| !known.members.is_empty()) {
        *text += &format!(
            "\n_{}_{}() {{\n    local -a commands=(\n",
            program.name, known.word
        );
        for (name, about) in &known.members {
            *text += &format!("        '{name}:{}'\n", zsh_text(about));
        }
        *text += "    )\n    _describe command commands\n    _files\n}\n";
    }
    *text += &format!(
        "\n_{}_program() {{\n    local command=${{words[(r)({})]}}\n    case $command in\n",
        program.name,
        words.join("|")
    );
    for known in all.iter().filter(|known| !known.word.is_empty()) {
        let rest = match known.members.is_empty() {
            true => format!("location:_{}_place", program.name),
            false => format!("file:_{}_{}", program.name, known.word),
        };
        *text += &format!(
            "    {})\n{}",
            known.word,
            zsh_arguments(&known.options, &rest)
        );
    }
    let rest = match program.name {
        "checksumdir" => "file or directory:_files".to_owned(),
        "btrfslist" => "directory:_files -/".to_owned(),
        _ => format!("location:_{}_place", program.name),
    };
    *text += &format!(
        "    *)\n{}    esac\n}}\n",
        zsh_arguments(&unnamed(program, &all), &rest)
    );
}

fn zsh_arguments(options: &[Name], rest: &str) -> String {
    let mut text = "        _arguments -s -S : \\\n".to_owned();
    for name in options {
        let value = match (name.value, name.optional) {
            (None, _) => "",
            (Some(_), false) => "=",
            (Some(_), true) => "=-",
        };
        let long = format!("--{}{}", name.long, if name.optional { "=-" } else { "" });
        let spelled = match (name.short, value) {
            (Some(letter), _) => format!("'*'{{-{letter},{long}}}"),
            (None, _) => format!("'*'{long}"),
        };
        let colons = if name.optional { "::" } else { ":" };
        let value = match name.value {
            None => String::new(),
            Some(what) => format!("{colons}{}:{}", zsh_text(what), zsh_hint(name.hint)),
        };
        text += &format!(
            "            {spelled}'[{}]{value}' \\\n",
            zsh_text(name.help)
        );
    }
    text + &format!("            '*:{rest}' ;;\n")
}

fn zsh_hint(hint: Hint) -> String {
    match hint {
        Hint::Anything => String::new(),
        Hint::File => "_files".to_owned(),
        Hint::Directory => "_files -/".to_owned(),
        Hint::Profile => "_buttersink_profiles".to_owned(),
        Hint::SubvolumeName => "_buttersink_subvolumes".to_owned(),
        Hint::SnapshotName => "_buttersink_snapshots".to_owned(),
        Hint::OneOf(words) => format!("({})", words.join(" ").replace(':', "\\:")),
    }
}

fn zsh_text(text: &str) -> String {
    let text = text.replace('\'', "'\\''").replace('[', "\\[");
    text.replace(']', "\\]").replace(':', "\\:")
}

/// The same in fish.
fn fish_values() -> String {
    let (subvolume, path) = (member("subvolume"), member("path"));
    // Between single quotes, fish takes away a backslash before a backslash only.
    let sed = |script: &str| format!("sed -n '{}'", script.replace('\\', "\\\\"));
    format!(
        "function __buttersink_profiles\n    set -q AWS_CONFIG_FILE; or set -l AWS_CONFIG_FILE ~/.aws/config\n    \
         set -q AWS_SHARED_CREDENTIALS_FILE; or set -l AWS_SHARED_CREDENTIALS_FILE ~/.aws/credentials\n    \
         {} $AWS_CONFIG_FILE $AWS_SHARED_CREDENTIALS_FILE 2>/dev/null\nend\n\
         function __buttersink_subvolumes\n    set -l words (commandline -opc)\n    \
         set -l at (contains -i -- --config $words); or return\n    \
         buttersink status --json --config $words[(math $at + 1)] 2>/dev/null | {} | sort -u\nend\n\
         function __buttersink_snapshots\n    for place in (string match -- '*/' (commandline -opc))\n        \
         test -d $place; and buttersink list --json $place 2>/dev/null | grep -o '\"path\":\"[^\"]*\"' | {}\n    end\nend\n",
        sed(PROFILES),
        sed(&subvolume),
        sed(&path)
    )
}

fn fish(program: &Described) -> String {
    let name = program.name;
    let mut text = format!("# Completion of {name} for fish. {MADE}\n\n");
    let all = known(program);
    let words: Vec<&str> = all
        .iter()
        .map(|known| known.word)
        .filter(|w| !w.is_empty())
        .collect();
    if words.is_empty() {
        if name == "btrfslist" {
            text += "complete -c btrfslist -f -a '(__fish_complete_directories)'\n";
        }
        for option in &unnamed(program, &all) {
            text += &fish_option(name, "", option);
        }
        return text;
    }
    let words = words.join(" ");
    text += &fish_values();
    text += &format!(
        "# Whether the command is one of these; 'none' if none is typed.\n\
         function __buttersink_is\n    for word in (commandline -opc)[2..]\n        \
         contains -- $word {words}; and begin\n            contains -- $word $argv\n            return\n        \
         end\n    end\n    contains -- none $argv\nend\n\ncomplete -c {name} -f\n\
         complete -c {name} -a '(__fish_complete_directories)'\n"
    );
    for known in &all {
        text += &format!(
            "complete -c {name} -n '__buttersink_is none' -a '{}' -d '{}'\n",
            known.word,
            fish_text(known.about)
        );
        for (member, about) in &known.members {
            text += &format!(
                "complete -c {name} -n '__buttersink_is {}' -a '{member}' -d '{}'\n",
                known.word,
                fish_text(about)
            );
        }
    }
    for (option, of) in by_option(program, &all) {
        text += &fish_option(name, &format!(" -n '__buttersink_is {of}'"), &option);
    }
    text
}

/// Each option once for each meaning that it has, with the commands that have it so.
fn by_option(program: &Described, all: &[Known]) -> Vec<(Name, String)> {
    let mut found: Vec<(Name, String)> = Vec::new();
    let none = unnamed(program, all);
    let owners = all.iter().map(|known| (known.word, &known.options));
    for (word, options) in owners.chain([("none", &none)]) {
        for option in options {
            match found
                .iter_mut()
                .find(|(o, _)| o.long == option.long && o.help == option.help)
            {
                Some((_, of)) => *of += &format!(" {word}"),
                None => found.push((*option, word.to_owned())),
            }
        }
    }
    found
}

fn fish_option(program: &str, condition: &str, option: &Name) -> String {
    let short = option.short.map(|letter| format!(" -s {letter}"));
    // A value that may be missing is written with the option.
    let value = match (option.value.filter(|_| !option.optional), option.hint) {
        (None, _) => String::new(),
        (Some(_), Hint::Anything) => " -x".to_owned(),
        (Some(_), Hint::File) => " -r -F".to_owned(),
        (Some(_), Hint::Directory) => " -x -a '(__fish_complete_directories)'".to_owned(),
        (Some(_), Hint::Profile) => " -x -a '(__buttersink_profiles)'".to_owned(),
        (Some(_), Hint::SubvolumeName) => " -x -a '(__buttersink_subvolumes)'".to_owned(),
        (Some(_), Hint::SnapshotName) => " -x -a '(__buttersink_snapshots)'".to_owned(),
        (Some(_), Hint::OneOf(words)) => format!(" -x -a '{}'", words.join(" ")),
    };
    let (short, help) = (short.unwrap_or_default(), fish_text(option.help));
    format!(
        "complete -c {program}{condition}{short} -l {}{value} -d '{help}'\n",
        option.long
    )
}

fn fish_text(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A directory to complete in: a directory and a file.
fn some_files() -> PathBuf {
    let dir = here().join("some");
    for name in ["snaps", "d$(touch evil)"] {
        std::fs::create_dir_all(dir.join(name)).unwrap();
    }
    std::fs::write(dir.join("saved.log"), "").unwrap();
    let profiles = "[default]\nregion = us-east-1\n[profile backup]\nregion = us-east-1\n[profile $(touch evil)]\n";
    std::fs::write(dir.join("aws"), profiles).unwrap();
    let config = "[[subvolume]]\npath = '/home'\n[[subvolume]]\npath = '/a $(touch evil)'\n[[destination]]\nlocation = '/mnt/disk/'\n";
    std::fs::write(dir.join("b.toml"), config).unwrap();
    dir
}

/// What bash offers for a line of words, the last of which is being typed.
fn bash_offers(words: &[&str]) -> Vec<String> {
    let script = "source contrib/completions/buttersink.bash; compopt() { :; }
        words=(\"$@\"); cd \"$DIR\"; COMP_WORDS=(\"${words[@]}\"); COMP_CWORD=$((${#words[@]} - 1))
        _\"$1\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut command = Command::new("bash");
    command.args(["-uc", script, "bash"]).args(words);
    let dir = some_files();
    command
        .current_dir(top())
        .env("DIR", &dir)
        .env("HOME", &dir);
    command.env("AWS_CONFIG_FILE", dir.join("aws"));
    let said = output(command.env("PATH", our_path()));
    assert!(said.status.success() && said.stderr.is_empty());
    let text = String::from_utf8(said.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The programs under test first.
fn our_path() -> String {
    let ours = binary("buttersink");
    let others = std::env::var("PATH").unwrap();
    format!("{}:{others}", ours.parent().unwrap().display())
}

fn bash_completes() {
    assert_eq!(bash_offers(&["buttersink", "--dry"]), ["--dry-run"]);
    assert_eq!(
        bash_offers(&["buttersink", "--mode", ""]),
        ["r", "p", "a", "w"]
    );
    assert_eq!(bash_offers(&["buttersink", "-l", "sa"]), ["saved.log"]);
    assert_eq!(
        bash_offers(&["buttersink", "-n", "s"]),
        ["sync", "snapshot", "send", "status", "snaps/"]
    );
    assert_eq!(bash_offers(&["buttersink", "list", "s"]), ["snaps/"]);
    assert_eq!(
        bash_offers(&["buttersink", "backup", "--alw"]),
        ["--always"]
    );
    assert_eq!(
        bash_offers(&["buttersink", "-n", "restore", "--ta"]),
        ["--target"]
    );
    assert_eq!(bash_offers(&["buttersink", "sync", "--alw"]), [""]);
    assert_eq!(
        bash_offers(&["buttersink", "config", ""]),
        ["init", "import", "check"]
    );
    assert_eq!(
        bash_offers(&["buttersink", "config", "check", "--o"]),
        ["--offline"]
    );
    assert_eq!(
        bash_offers(&["buttersink", "--profile", ""]),
        ["\\$\\(touch\\ evil\\)", "backup", "default"]
    );
    let subvolume = [
        "buttersink",
        "restore",
        "--config",
        "b.toml",
        "--subvolume",
        "",
    ];
    assert_eq!(
        bash_offers(&subvolume),
        ["a\\ \\$\\(touch\\ evil\\)", "home"]
    );
    assert_eq!(
        bash_offers(&["buttersink", "list", "d"]),
        ["d$(touch evil)/"]
    );
    assert!(!here().join("some/evil").exists());
    assert_eq!(bash_offers(&["btrfslist", "--s"]), ["--sizes"]);
    assert_eq!(bash_offers(&["checksumdir", "-o", "s"]), ["snaps"]);
}

/// zsh says nothing outside a terminal; that it accepts the file, and has its functions, must do.
fn zsh_completes() {
    need("zsh");
    let script = "autoload -Uz compinit; fpath=($PWD/contrib/completions $fpath)
        compinit -u -D; print -l $_comps[buttersink] $_comps[btrfslist] $_comps[checksumdir]
        zsh -n contrib/completions/_buttersink
        autoload -Uz +X _buttersink; eval \"${functions[_buttersink]%_\\$*}\"
        _arguments() { print -l -- ${(M)@:#*--alw*}; }
        words=(buttersink -n backup --alw); _buttersink_program
        words=(buttersink --alw); _buttersink_program";
    let mut command = Command::new("zsh");
    command.args(["-fc", script]).env("PATH", our_path());
    let said = output(command.current_dir(top()));
    let text = String::from_utf8(said.stdout).unwrap();
    let always = "*--always[make a snapshot even if nothing changed]\n\n";
    assert_eq!(text, "_buttersink\n".repeat(3) + always);
    assert!(said.status.success() && said.stderr.is_empty());
}

fn fish_completes() {
    need("fish");
    let offers = |line: &str| {
        let program = line.split(' ').next().unwrap();
        let file = top().join(format!("contrib/completions/{program}.fish"));
        let script = format!("source {}; complete -C '{line}'", file.display());
        let mut command = Command::new("fish");
        command
            .args(["-N", "-c", &script])
            .current_dir(some_files());
        command.env("AWS_CONFIG_FILE", some_files().join("aws"));
        let said = output(command.env("HOME", here()).env("PATH", our_path()));
        assert!(said.status.success() && said.stderr.is_empty());
        let text = String::from_utf8(said.stdout).unwrap();
        let words = text
            .lines()
            .map(|l| l.split('\t').next().unwrap().to_owned());
        words.collect::<Vec<_>>()
    };
    assert_eq!(offers("buttersink --dry"), ["--dry-run"]);
    assert_eq!(offers("buttersink --server --mode "), ["a", "p", "r", "w"]);
    assert_eq!(offers("buttersink list s"), ["snaps/"]);
    assert_eq!(offers("buttersink ve"), ["verify"]);
    assert_eq!(offers("buttersink backup --al"), ["--always"]);
    assert_eq!(offers("buttersink verify --ag"), ["--against"]);
    assert_eq!(offers("buttersink list --ag"), [""; 0]);
    let profiles = offers("buttersink list --profile ");
    assert!(profiles.ends_with(&["backup".to_owned(), "default".to_owned()]));
    assert_eq!(profiles.len(), 3);
    let subvolume = "buttersink restore --config b.toml --subvolume ";
    assert_eq!(offers(subvolume), ["a $(touch evil)", "home"]);
    assert!(!here().join("some/evil").exists());
    assert_eq!(offers("btrfslist --s"), ["--sizes"]);
    assert_eq!(offers("checksumdir --li"), ["--links"]);
}
