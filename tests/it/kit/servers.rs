//! S3 servers for tests: one of each kind for a whole run, shared by all test processes, and
//! others that a test has for itself, to kill. And plain requests to them, independent of ours.

use crate::support::*;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub(crate) const KEY: &str = "buttersinktest";
pub(crate) const SECRET: &str = "buttersink-test-secret";

static AGENT: OnceLock<ureq::Agent> = OnceLock::new();

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder();
    let config = config
        .http_status_as_error(false)
        .max_idle_connections_per_host(10);
    config.build().new_agent()
}

/// The names of tests, which begin with this word, and the tests with each kind of server that is shared.
#[macro_export]
macro_rules! on_both {
    ($module:literal; $($name:ident),* $(,)?) => {
        &[$(
            (concat!($module, stringify!($name), "_seaweedfs"), || $name(&$crate::servers::shared("seaweedfs"))),
            (concat!($module, stringify!($name), "_radosgw"), || $name(&$crate::servers::shared("radosgw"))),
        )*]
    };
}

/// A running server.
pub(crate) struct Server {
    pub(crate) kind: &'static str,
    pub(crate) endpoint: String,
    dir: PathBuf,
    /// Of this test only, so that it ends with it.
    own: bool,
}

/// Where the shared ones keep their data, and all that run are written down.
fn home() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("servers")
}

fn script(kind: &str) -> Command {
    let path = format!("{}/tests/servers/{kind}.sh", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(path);
    command
        .env("BUTTERSINK_SERVERS", target_dir().join("servers"))
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET);
    command
}

/// Where a program that is no server was installed; `None` if it cannot be.
pub(crate) fn installed(kind: &str) -> Option<PathBuf> {
    let done = output(script(kind).arg("install")).status.success();
    let entries = std::fs::read_dir(target_dir().join("servers")).ok()?;
    let mut homes = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    let prefix = format!("{kind}-");
    let home = homes.find(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
    });
    home.filter(|_| done)
}

/// The server of this kind that all tests share; the first to ask starts it.
pub(crate) fn shared(kind: &'static str) -> Server {
    let dir = home().join(kind);
    std::fs::create_dir_all(home().join("running")).unwrap();
    let lock = File::create(home().join(format!("{kind}.lock"))).unwrap();
    lock.lock().unwrap();
    let ready = dir.join("endpoint");
    if !ready.exists() {
        let _ = std::fs::remove_dir_all(&dir);
        let server = start(kind, dir.clone(), false);
        std::fs::write(&ready, &server.endpoint).unwrap();
        return server;
    }
    Server {
        kind,
        endpoint: std::fs::read_to_string(ready).unwrap(),
        dir,
        own: false,
    }
}

/// A server that this test may kill.
pub(crate) fn own(kind: &'static str) -> Server {
    std::fs::create_dir_all(home().join("running")).unwrap();
    let lock = File::create(home().join("own.lock")).unwrap();
    lock.lock().unwrap(); // two tests must not find the same free ports
    start(kind, here().join(kind), true)
}

fn start(kind: &'static str, dir: PathBuf, own: bool) -> Server {
    let install = output(script(kind).arg("install"));
    if !install.status.success() {
        skip(&format!("{kind} cannot be installed"));
    }
    let port = free_ports();
    let server = Server {
        kind,
        endpoint: format!("http://127.0.0.1:{port}"),
        dir,
        own,
    };
    server.run(port);
    server
}

/// As many ports in a row as any of them wants.
fn free_ports() -> u16 {
    let first = 20000 + (std::process::id() % 200) as u16 * 50;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut bases = (0..200).map(|i| 20000 + (first - 20000 + i * 50) % 10000);
    bases
        .find(|base| (*base..base + 42).all(|port| free(&port)))
        .expect("free ports")
}

impl Server {
    fn run(&self, port: u16) {
        // Written down first, so that it is stopped whatever happens to this test.
        let note = home().join("running").join(port.to_string());
        std::fs::write(note, format!("{}\n{}", self.kind, self.dir.display())).unwrap();
        let started = output(
            script(self.kind)
                .args(["start", &port.to_string()])
                .arg(&self.dir),
        );
        assert!(started.status.success(), "{} does not start", self.kind);
        self.wait();
    }

    /// Until objects can be written.
    fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(90);
        loop {
            let bucket = self.plain("PUT", "ready", "", b"").0;
            if matches!(bucket, 200 | 409) && self.plain("PUT", "ready", "x", b"x").0 == 200 {
                return;
            }
            assert!(Instant::now() < end, "{} is not ready: {bucket}", self.kind);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn port(&self) -> u16 {
        self.endpoint.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// As a power cut would.
    pub(crate) fn kill(&self) {
        assert!(self.own);
        assert!(
            output(script(self.kind).arg("kill").arg(&self.dir))
                .status
                .success()
        );
    }

    /// Starts it again with its data, on its port.
    pub(crate) fn again(&self) {
        self.run(self.port());
    }

    /// A new bucket for this test.
    pub(crate) fn bucket(&self) -> String {
        let name = self.bucket_name();
        let (status, body) = self.plain("PUT", &name, "", b"");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        name
    }

    /// What it is called.
    pub(crate) fn bucket_name(&self) -> String {
        let test = here().file_name().unwrap().to_string_lossy().into_owned();
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        };
        let name: String = test.chars().map(plain).collect();
        let start = name.len().saturating_sub(50);
        format!("b{}-{}", &name[start..], std::process::id())
    }

    /// A request by other means than the client under test; status and body.
    pub(crate) fn plain(
        &self,
        method: &str,
        bucket: &str,
        key: &str,
        body: &[u8],
    ) -> (u16, Vec<u8>) {
        self.ask(method, bucket, key, &[], body)
    }

    /// The same with a query.
    pub(crate) fn ask(
        &self,
        method: &str,
        bucket: &str,
        key: &str,
        query: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, Vec<u8>) {
        match self.answer(method, (bucket, key), query, &[], body) {
            Ok(mut answer) => {
                let body = answer.body_mut().with_config().limit(1 << 30).read_to_vec();
                (answer.status().as_u16(), body.unwrap_or_default())
            }
            Err(_) => (0, Vec::new()),
        }
    }

    /// The headers of an object.
    pub(crate) fn headers(&self, bucket: &str, key: &str) -> ureq::http::HeaderMap {
        let answer = self.answer("HEAD", (bucket, key), &[], &[], b"").unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{key}");
        answer.headers().clone()
    }

    /// Writes an object in a storage class.
    pub(crate) fn put_class(&self, bucket: &str, key: &str, class: &str, body: &[u8]) {
        self.put_with(bucket, key, ("x-amz-storage-class", class), body);
    }

    pub(crate) fn put_with(&self, bucket: &str, key: &str, header: (&str, &str), body: &[u8]) {
        let answer = self
            .answer("PUT", (bucket, key), &[], &[header], body)
            .unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{key}");
    }

    fn answer(
        &self,
        method: &str,
        (bucket, key): (&str, &str),
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        use rusty_s3::{Bucket, Method, UrlStyle};
        let endpoint = self.endpoint.parse().unwrap();
        let there = Bucket::new(endpoint, UrlStyle::Path, bucket.to_owned(), "us-east-1").unwrap();
        let verb = match method {
            "PUT" => Method::Put,
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            _ => Method::Delete,
        };
        let url = match key {
            "" => there
                .base_url()
                .as_str()
                .trim_end_matches('/')
                .parse()
                .unwrap(),
            key => there.object_url(key),
        };
        let now = jiff::Timestamp::now();
        let url = rusty_s3::signing::sign(
            &now,
            verb,
            url,
            KEY,
            SECRET,
            None,
            "us-east-1",
            3600,
            query.iter().copied(),
            headers.iter().copied(),
        );
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(url.as_str());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let agent = AGENT.get_or_init(agent);
        match method {
            "PUT" | "POST" => agent.run(request.body(body).unwrap()),
            _ => agent.run(request.body(()).unwrap()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.own {
            let _ = script(self.kind).arg("kill").arg(&self.dir).status();
            let _ = std::fs::remove_file(home().join("running").join(self.port().to_string()));
        }
    }
}

/// Stops all that was started and not stopped, and removes what they kept.
pub(crate) fn stop_all() {
    let Ok(running) = std::fs::read_dir(home().join("running")) else {
        return;
    };
    for note in running.flatten() {
        let text = std::fs::read_to_string(note.path()).unwrap_or_default();
        if let Some((kind, dir)) = text.split_once('\n') {
            if Path::new(dir).exists() {
                let _ = script(kind).arg("kill").arg(dir).status();
            }
            let _ = std::fs::remove_dir_all(dir);
        }
        let _ = std::fs::remove_file(note.path());
    }
}
