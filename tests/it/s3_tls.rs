//! TLS and proxies on the way to a bucket: an authority of our own, certificates that are wrong,
//! and a proxy that tunnels.

use crate::bucket::{Bucket, command, said};
use crate::runner::Test;
use crate::servers::{Server, shared};
use crate::subvolumes::{history, script};
use crate::support::*;
use crate::tests;
use crate::tree::assert_same;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub(crate) const TESTS: &[Test] = tests![a_private_authority, wrong_certificates, through_a_proxy];

/// Ends TLS and passes on what was inside: arguments are certificate, key, and the server's port.
const TERMINATOR: &str = "
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
def serve(client):
    client = context.wrap_socket(client, server_side=True)
    join(client, socket.create_connection(('127.0.0.1', int(sys.argv[3]))))
";

/// Tunnels to where it is asked to, and writes that down.
const PROXY: &str = "
def serve(client):
    head = b''
    while not head.endswith(b'\\r\\n\\r\\n'):
        head += client.recv(1)
    method, target = head.split()[:2]
    with open(sys.argv[1], 'ab') as log:
        log.write(method + b' ' + target + b'\\n')
    host, port = target.decode().rsplit(':', 1)
    server = socket.create_connection((host, int(port)))
    client.sendall(b'HTTP/1.1 200 go ahead\\r\\n\\r\\n')
    join(client, server)
";

/// What both have in common: a thread for each connection and one for its way back.
const COMMON: &str = "
def pass_on(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for end in a, b:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
def join(a, b):
    threading.Thread(target=pass_on, args=(b, a), daemon=True).start()
    pass_on(a, b)
def safely(client):
    try:
        serve(client)
    except (OSError, ValueError):
        client.close()
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)
while True:
    client, _ = listener.accept()
    threading.Thread(target=safely, args=(client,), daemon=True).start()
";

/// One of the two, as long as it is kept.
struct Between {
    child: Child,
    port: u16,
}

impl Between {
    fn start(text: &str, args: &[&str]) -> Between {
        let text = format!("import socket, ssl, sys, threading\n{text}{COMMON}");
        let mut child = Command::new("python3")
            .args(["-c", &text])
            .args(args)
            .current_dir(here())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap();
        Between { child, port }
    }

    /// TLS in front of a server, with the certificate of this name.
    fn tls(server: &Server, name: &str) -> Between {
        let port = server.endpoint.rsplit(':').next().unwrap();
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        Between::start(TERMINATOR, &[&certificate, &key, port])
    }

    fn endpoint(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authority, a certificate of it for this machine, one for another name, and one that has
/// expired.
fn certificates() {
    if Command::new("openssl").arg("version").output().is_err() {
        skip("needs openssl");
    }
    script(
        &here(),
        r#"key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null ||
                   openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }
           key ca
           openssl req -x509 -new -key ca.key -subj /CN=authority -days 9 -out ca.pem
           signed() { # NAME SAN WORDS...
               key "$1"
               openssl req -new -key "$1.key" -subj "/CN=$1" -out request
               echo "subjectAltName=$2" >extensions
               openssl x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial \
                   -extfile extensions -out "$1.pem" "${@:3}"
           }
           signed here IP:127.0.0.1 -days 9
           signed elsewhere DNS:elsewhere.example -days 9
           echo "not a certificate" >nonsense.pem"#,
    );
}

fn slash(dir: &Path) -> String {
    format!("{}/", dir.to_str().unwrap())
}

fn a_private_authority() {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    certificates();
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let tls = Between::tls(&server, "here");
    history(&a, 1);
    script(
        &a,
        "head -c 20M /dev/urandom >live/more; btrfs -q subvolume snapshot -r live snaps/2",
    );
    let there = bucket.url("host/");
    for [from, to] in [[&slash(&a.join("snaps")), &there], [&there, &slash(&b)]] {
        let mut run = command(&tls.endpoint(), &["--part-size=5", from, to]);
        assert_eq!(
            said(run.env("AWS_CA_BUNDLE", here().join("ca.pem"))).code,
            0
        );
    }
    for name in ["1", "2"] {
        assert_same(&a.join("snaps").join(name), &b.join(name));
    }
    let bundle = "[default]\nca_bundle = ca.pem\n";
    std::fs::create_dir(here().join(".aws")).unwrap();
    std::fs::write(here().join(".aws/config"), bundle).unwrap();
    let mut list = command(&tls.endpoint(), &[&there]);
    assert_eq!(said(list.current_dir(here())).code, 0);
}

/// Each is said at once, with what to do about it.
fn wrong_certificates() {
    certificates();
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    let list = |endpoint: &str, bundle: &str| {
        let mut run = command(endpoint, &[&bucket.url("host/")]);
        if !bundle.is_empty() {
            run.env("AWS_CA_BUNDLE", here().join(bundle));
        }
        said(&mut run)
    };
    let (right, other) = (
        Between::tls(&server, "here"),
        Between::tls(&server, "elsewhere"),
    );
    let unknown = list(&right.endpoint(), "");
    assert_eq!(unknown.code, 1);
    assert!(unknown.stderr.contains("authority") && unknown.stderr.contains("AWS_CA_BUNDLE"));
    assert!(
        !unknown.stderr.contains("tried"),
        "again, as if it could pass"
    );
    let name = list(&other.endpoint(), "ca.pem");
    assert_eq!(name.code, 1);
    assert!(name.stderr.contains("another name"));
    for bundle in ["nonsense.pem", "absent.pem"] {
        let said = list(&right.endpoint(), bundle);
        assert!(said.code == 2 || said.code == 1);
        assert!(said.stderr.contains("CA bundle") && said.stderr.contains(bundle));
    }
    let plain = list(&server.endpoint.replace("http:", "https:"), "ca.pem");
    assert_eq!(plain.code, 1);
    assert!(plain.stderr.contains("begin with http://?"));
}

fn through_a_proxy() {
    certificates();
    let server = shared("seaweedfs");
    let bucket = Bucket::new(&server);
    bucket.put("host/foreign", b"x");
    let tls = Between::tls(&server, "here");
    let log = here().join("proxy.log");
    let proxy = Between::start(PROXY, &[log.to_str().unwrap()]);
    let list = |proxy: &str, not: &str| {
        let mut run = command(&tls.endpoint(), &[&bucket.url("host/")]);
        run.env("HTTPS_PROXY", proxy).env("NO_PROXY", not);
        run.env("AWS_MAX_ATTEMPTS", "2");
        said(run.env("AWS_CA_BUNDLE", here().join("ca.pem")))
    };
    let there = format!("http://127.0.0.1:{}", proxy.port);
    let listed = list(&there, "");
    assert_eq!(listed.code, 0);
    assert!(listed.stderr.contains("host/foreign"));
    let asked = std::fs::read_to_string(&log).unwrap();
    assert_eq!(
        asked.lines().next(),
        Some(&format!("CONNECT 127.0.0.1:{}", tls.port)[..])
    );
    // A proxy that is not there is no way round it, unless the host is excepted.
    let absent = list("http://127.0.0.1:9", "");
    assert_eq!(absent.code, 1);
    assert!(absent.stderr.contains("by the proxy 127.0.0.1:9"));
    assert_eq!(list("http://127.0.0.1:9", "127.0.0.1").code, 0);
    // Neither is one of a kind that we do not know.
    let socks = list("socks5://127.0.0.1:9", "");
    assert_eq!(socks.code, 2);
    assert!(socks.stderr.contains("HTTPS_PROXY"));
    assert_eq!(list("socks5://127.0.0.1:9", "127.0.0.1").code, 0);
}
