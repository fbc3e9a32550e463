//! System calls that Rust's library does not offer, made by one helper process for a whole
//! history. Knows no step.

use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The helper. Its calls take paths of plain names only.
pub(crate) struct Hands {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Hands {
    pub(crate) fn new() -> Hands {
        let mut child = Command::new("python3")
            .args(["-c", include_str!("hands.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let (asks, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let answers = BufReader::new(answers);
        Hands {
            child,
            asks,
            answers,
        }
    }

    /// Makes a call: its name and its arguments.
    pub(crate) fn call(&mut self, words: &Value) -> io::Result<Value> {
        writeln!(self.asks, "{words}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line).expect("an answer of the helper");
        match answer[0].as_bool() {
            Some(true) => Ok(answer[1].clone()),
            _ => Err(io::Error::other(answer[1].to_string())),
        }
    }

    pub(crate) fn set_xattr(&mut self, path: &Path, name: &str, value: &[u8]) -> io::Result<()> {
        let words = json!(["set_xattr", text(path), name, hex(value)]);
        self.call(&words).map(drop)
    }

    pub(crate) fn remove_xattr(&mut self, path: &Path, name: &str) -> io::Result<()> {
        let words = json!(["remove_xattr", text(path), name]);
        self.call(&words).map(drop)
    }

    /// Everything of the filesystem reaches the disk: a flush and a transaction.
    pub(crate) fn sync(&mut self, path: &Path) -> io::Result<()> {
        self.call(&json!(["sync", text(path)])).map(drop)
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
