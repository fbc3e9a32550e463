//! HTTPS as the programs speak it: whom they trust, and that they resolve names. A server of
//! openssl answers everything with a page of its own, so an answer that is not S3 is success here.

use crate::runner::Test;
use crate::support::{binary, here, output, run, skip};
use crate::tests;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = tests![only_who_is_trusted_is_heard];

/// A private authority, and a certificate of it for `localhost`.
fn certificates(dir: &Path) {
    if Command::new("openssl").arg("version").output().is_err() {
        skip("needs openssl");
    }
    let script = "cd \"$1\"; key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
        openssl req -x509 $key -keyout ca.key -out ca.pem -subj /CN=authority -days 2
        openssl req $key -keyout key.pem -out request -subj /CN=localhost
        echo subjectAltName=DNS:localhost >names
        openssl x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
            -extfile names -out cert.pem";
    run("bash", ["-euc", script, "bash", dir.to_str().unwrap()]);
}

struct Server(Child, u16);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn server(dir: &Path) -> Server {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let child = Command::new("openssl")
        .args(["s_server", "-www", "-quiet", "-key", "key.pem"])
        .args(["-cert", "cert.pem", "-accept"])
        .arg(format!("127.0.0.1:{port}"))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    let server = Server(child.unwrap(), port);
    let end = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "the server does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

fn only_who_is_trusted_is_heard() {
    let dir = here();
    certificates(&dir);
    let server = server(&dir);
    let says = |bundle: Option<&Path>, host: &str| {
        let mut command = Command::new(binary("buttersink"));
        command.env_clear().env("AWS_ACCESS_KEY_ID", "a");
        command.env("AWS_SECRET_ACCESS_KEY", "b");
        command.env("AWS_REGION", "us-east-1");
        if let Some(bundle) = bundle {
            command.env("AWS_CA_BUNDLE", bundle);
        }
        let url = format!("https://{host}:{}", server.1);
        let said = output(command.args(["--endpoint-url", &url, "s3://bucket/prefix/"]));
        assert_eq!(said.status.code(), Some(1));
        String::from_utf8(said.stderr).unwrap()
    };
    let bundle = dir.join("ca.pem");
    let distrusts = |said: &str| said.contains("certificate");
    assert!(distrusts(&says(None, "localhost")));
    assert!(distrusts(&says(Some(&bundle), "127.0.0.1"))); // not the name in the certificate
    let heard = says(Some(&bundle), "localhost");
    assert!(!distrusts(&heard), "{heard}");
    assert!(
        heard.contains("not S3") || heard.contains("answer"),
        "{heard}"
    );
}
