//! A client that keeps to the frames of the protocol and to nothing else, in front of a real server.

use crate::streams::{command, of_commands, uuid, write};
use crate::support::*;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

pub(super) struct Client {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

/// An answer, or why there is none.
pub(super) type Answer = Result<Value, String>;

impl Client {
    /// `buttersink --server WORDS…`, greeted.
    pub(super) fn of<W: AsRef<OsStr>>(words: &[W]) -> Client {
        let mut command = Command::new(binary("buttersink"));
        Client::start(command.arg("--server").args(words))
    }

    pub(super) fn start(command: &mut Command) -> Client {
        Client::spawned(command).greeting(2)
    }

    fn spawned(command: &mut Command) -> Client {
        println!("$ {command:?}");
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        Client {
            child,
            input,
            output,
        }
    }

    /// A client that wishes that snapshots be received in some way.
    pub(super) fn wishing(command: &mut Command, way: Option<&str>) -> Client {
        let mut client = Client::spawned(command);
        let hello = json!({"program": "x", "protocol": 3, "words": [], "receive_with": way});
        client.say(b'H', hello.to_string().as_bytes());
        client
    }

    /// A client that said just these bytes.
    pub(super) fn that_said(command: &mut Command, said: &[u8]) -> Client {
        let mut client = Client::spawned(command);
        // A server that has hung up already says why.
        let _ = client.input.as_mut().unwrap().write_all(said);
        client
    }

    fn greeting(mut self, protocol: u32) -> Client {
        let hello =
            json!({"program": "x", "protocol": protocol, "words": ["digest", "hold", "clones"]});
        self.say(b'H', hello.to_string().as_bytes());
        self
    }

    pub(super) fn serving(mode: &str, dir: impl AsRef<OsStr>) -> Client {
        let mut client = Client::of(&["--mode".as_ref(), mode.as_ref(), dir.as_ref()]);
        client.hear().unwrap();
        client
    }

    /// In the newest protocol, which knows of comparing.
    pub(super) fn comparing(mode: &str, dir: impl AsRef<OsStr>) -> Client {
        Client::newest(&["--mode".as_ref(), mode.as_ref(), dir.as_ref()])
    }

    /// `buttersink --server WORDS…` in the newest protocol.
    pub(super) fn newest<W: AsRef<OsStr>>(words: &[W]) -> Client {
        let mut command = Command::new(binary("buttersink"));
        command.arg("--server").args(words);
        let mut client = Client::spawned(&mut command).greeting(3);
        client.hear().unwrap();
        client
    }

    pub(super) fn say(&mut self, kind: u8, body: &[u8]) {
        let length = (body.len() as u32).to_le_bytes();
        let frame = [&[kind][..], &length, body].concat();
        // A server that hung up has said why.
        let _ = self.input.as_mut().unwrap().write_all(&frame);
    }

    /// Says a blank over and over, until nobody listens.
    pub(super) fn drip(&mut self) {
        let mut input = self.input.take().unwrap();
        std::thread::spawn(move || {
            while input.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
    }

    /// The next frame, if there is one.
    pub(super) fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.output.read_exact(&mut head).ok()?;
        let length = u32::from_le_bytes(head[1..].try_into().unwrap());
        let mut body = vec![0; length as usize];
        self.output.read_exact(&mut body).ok()?;
        Some((head[0], body))
    }

    pub(super) fn hear(&mut self) -> Answer {
        let answer = match self.frame() {
            Some((b'F', body)) => Err(String::from_utf8(body).unwrap()),
            Some((_, body)) => Ok(serde_json::from_slice(&body).unwrap()),
            None => Err("it hung up".to_owned()),
        };
        println!("{answer:?}");
        answer
    }

    pub(super) fn ask(&mut self, question: &Value) -> Answer {
        println!("? {question}");
        self.say(b'Q', question.to_string().as_bytes());
        self.hear()
    }

    pub(super) fn list(&mut self) -> Vec<Value> {
        let listing = self.ask(&json!({"ask": "list"})).unwrap();
        listing["snapshots"].as_array().unwrap().clone()
    }

    /// Hands over a stream that claims to make this snapshot.
    pub(super) fn receive(
        &mut self,
        path: &str,
        to: u8,
        from: Option<&str>,
        stream: &[u8],
    ) -> Answer {
        let diff = json!({"to": uuid(to).to_string(), "from": from, "size": "unknown"});
        self.put(
            &json!({"ask": "receive", "diff": diff, "path": path}),
            stream,
        )
    }

    /// Asks for something to be received, and hands over its stream.
    pub(super) fn put(&mut self, question: &Value, stream: &[u8]) -> Answer {
        self.ask(question)?;
        self.say(b'D', stream);
        self.say(b'E', json!({"bytes": stream.len()}).to_string().as_bytes());
        self.hear()
    }

    /// The stream of a snapshot.
    pub(super) fn send(&mut self, to: &str, from: Option<&str>) -> Result<Vec<u8>, String> {
        let diff = json!({"to": to, "from": from, "size": "unknown"});
        self.ask(&json!({"ask": "send", "diff": diff}))?;
        let mut bytes = Vec::new();
        loop {
            match self.frame() {
                Some((b'D', more)) => bytes.extend(more),
                Some((b'E', _)) => return Ok(bytes),
                Some((_, body)) => return Err(String::from_utf8(body).unwrap()),
                None => return Err("it hung up".to_owned()),
            }
        }
    }

    /// Hangs up; the exit status.
    pub(super) fn close(mut self) -> i32 {
        self.input = None;
        self.ended()
    }

    /// The exit status, once the server ends by itself.
    pub(super) fn ended(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

/// Commands that make a file with this content.
pub(super) fn file(name: &str, data: &[u8]) -> Vec<u8> {
    let number = 300u64.to_le_bytes().to_vec();
    let made = command(3, &[(3, number), (15, name.into())]);
    [made, write(name.as_bytes(), data)].concat()
}

/// A CLONE of 4096 bytes out of a file of another subvolume.
pub(super) fn clone(name: &str, of: [u8; 16], path: &str) -> Vec<u8> {
    let number = |n: u64| n.to_le_bytes().to_vec();
    let attributes = [
        (15, name.into()),
        (18, number(0)),
        (24, number(4096)),
        (20, of.to_vec()),
        (21, number(7)),
        (22, path.into()),
        (23, number(0)),
    ];
    command(16, &attributes)
}

/// A stream out of a parent.
pub(super) fn of_parent(to: u8, from: Option<[u8; 16]>, commands: &[Vec<u8>]) -> Vec<u8> {
    let Some(from) = from else {
        return of_commands(to, commands);
    };
    let generation = 7u64.to_le_bytes().to_vec();
    let head = [
        (15, b"snap".to_vec()),
        (1, vec![to; 16]),
        (2, generation.clone()),
        (20, from.to_vec()),
        (21, generation),
    ];
    let whole = [command(2, &head), commands.concat(), command(21, &[])];
    [b"btrfs-stream\0\x01\0\0\0".to_vec(), whole.concat()].concat()
}
