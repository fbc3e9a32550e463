//! A proxy in front of a real server that breaks what a rule tells it to. Knows HTTP, and nothing of buckets.

use crate::servers::Server;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is done to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// The connection is reset before the server sees anything.
    Reset,
    /// An answer of our own: status, and a header.
    Answer(u16, &'static str),
    /// Half of the answer's body, and the end.
    HalfAnswer,
    /// One bit of the request's body is turned over.
    CorruptUp,
    /// One bit of the answer's body.
    CorruptDown,
    /// It is carried out, and nobody hears of it.
    LoseAnswer,
    /// Nothing at all happens.
    Stuck,
    /// Status 200 with an error in the body.
    Error200,
    /// Status 200 with this body.
    Body(&'static str),
    /// The object is archived.
    Frozen,
}

/// A request as the rule sees it.
pub(crate) struct Seen<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    /// Whose keys signed it, for which region, and the names of the headers that they signed.
    pub(crate) signed: &'a str,
    /// How many requests came before.
    pub(crate) before: usize,
}

type Rule = Box<dyn FnMut(&Seen<'_>) -> Option<Fault> + Send>;

pub(crate) struct Proxy {
    pub(crate) endpoint: String,
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
    /// One more than the requests under way.
    under_way: Arc<()>,
}

impl Proxy {
    pub(crate) fn before(
        server: &Server,
        rule: impl FnMut(&Seen<'_>) -> Option<Fault> + Send + 'static,
    ) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let upstream = server.endpoint.trim_start_matches("http://").to_owned();
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Box::new(rule)));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&seen);
        let under_way = Arc::new(());
        let held = Arc::downgrade(&under_way);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (rule, list, upstream) =
                    (Arc::clone(&rule), Arc::clone(&list), upstream.clone());
                let held = held.upgrade();
                // A broken connection is what this is for.
                std::thread::spawn(move || {
                    let _held = held;
                    serve(&client, &upstream, &rule, &list)
                });
            }
        });
        Proxy {
            endpoint,
            seen,
            under_way,
        }
    }

    /// Waits until the server has answered what a client sent before it died.
    pub(crate) fn settle(&self) {
        while Arc::strong_count(&self.under_way) > 1 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn count(&self, word: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|line| line.contains(word)).count()
    }
}

/// One request for each connection.
fn serve(
    client: &TcpStream,
    upstream: &str,
    rule: &Mutex<Rule>,
    list: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut reader = BufReader::new(client);
    let head = read_head(&mut reader)?;
    let mut words = head.split(' ');
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    if method.is_empty() {
        return Ok(());
    }
    let signed = head.lines().find(|line| line.starts_with("authorization:"));
    let signed = signed.unwrap_or_default();
    let fault = {
        let mut list = list.lock().unwrap();
        let before = list.len();
        list.push(format!("{method} {target}"));
        rule.lock().unwrap()(&Seen {
            method,
            target,
            signed,
            before,
        })
    };
    let mut body = vec![0; length(&head)];
    match fault {
        Some(Fault::Reset) => return client.shutdown(Shutdown::Both),
        Some(Fault::Stuck) => {
            std::thread::sleep(Duration::from_secs(30));
            return Ok(());
        }
        _ => reader.read_exact(&mut body)?,
    }
    match fault {
        Some(Fault::Answer(status, header)) => {
            let text = format!(
                "HTTP/1.1 {status} no\r\n{header}content-length: 0\r\nconnection: close\r\n\r\n"
            );
            return (&*client).write_all(text.as_bytes());
        }
        Some(Fault::Error200) => {
            let error = "<Error><Code>InternalError</Code><Message>late</Message></Error>";
            let text = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{error}",
                error.len()
            );
            return (&*client).write_all(text.as_bytes());
        }
        Some(Fault::Frozen) => {
            let error = "<Error><Code>InvalidObjectState</Code><Message>cold</Message></Error>";
            let text = format!(
                "HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{error}",
                error.len()
            );
            return (&*client).write_all(text.as_bytes());
        }
        Some(Fault::Body(text)) => {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                text.len()
            );
            return (&*client).write_all((head + text).as_bytes());
        }
        Some(Fault::CorruptUp) if !body.is_empty() => {
            let middle = body.len() / 2;
            body[middle] ^= 4;
        }
        _ => {}
    }
    let mut answer = forward(upstream, &head, &body, method)?;
    let start = answer
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .map_or(0, |at| at + 4);
    match fault {
        Some(Fault::LoseAnswer) => return client.shutdown(Shutdown::Both),
        Some(Fault::HalfAnswer) => answer.truncate((start + answer.len()) / 2),
        Some(Fault::CorruptDown) if answer.len() > start => {
            let middle = (start + answer.len()) / 2;
            answer[middle] ^= 4;
        }
        _ => {}
    }
    (&*client).write_all(&answer)
}

fn read_head(reader: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(String::new());
        }
    }
    Ok(head)
}

fn length(head: &str) -> usize {
    let lower = head.to_ascii_lowercase();
    let line = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    line.map_or(0, |value| value.trim().parse().unwrap())
}

fn forward(upstream: &str, head: &str, body: &[u8], method: &str) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(upstream)?;
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    server.write_all(head.as_bytes())?;
    server.write_all(body)?;
    let mut reader = BufReader::new(server);
    let head = read_head(&mut reader)?;
    let mut answer = head.clone().into_bytes();
    if method != "HEAD" {
        match head.to_ascii_lowercase().contains("content-length:") {
            true => {
                let mut rest = vec![0; length(&head)];
                reader.read_exact(&mut rest)?;
                answer.extend(rest);
            }
            false => drop(reader.read_to_end(&mut answer)?),
        }
    }
    Ok(answer)
}

/// Every third request goes wrong, each time in another way.
pub(crate) fn every_third() -> impl FnMut(&Seen<'_>) -> Option<Fault> + Send {
    let mut next = 0;
    move |seen| {
        const KINDS: &[Fault] = &[
            Fault::Reset,
            Fault::Answer(500, ""),
            Fault::Answer(503, "retry-after: 1\r\n"),
            Fault::HalfAnswer,
            Fault::CorruptUp,
            Fault::LoseAnswer,
            Fault::Stuck,
            Fault::Answer(429, ""),
        ];
        // A changed document is another document; its MD5 is sent along only where S3 asks for it.
        let part = seen.target.contains("partNumber=");
        let wrong = seen.before % 3 == 2;
        next += usize::from(wrong);
        let kind = KINDS[next % KINDS.len()];
        (wrong && (kind != Fault::CorruptUp || part)).then_some(kind)
    }
}
