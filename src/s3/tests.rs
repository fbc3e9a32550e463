//! Services that answer byte by byte, or take what is sent so. They would keep a run for years.

use super::*;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// A service that does this to each connection, once the other side has begun to speak. It is given up after so
/// many milliseconds.
fn service(term: u64, does: fn(TcpStream) -> std::io::Result<()>) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1000]);
            // Whoever is given up is hung up on.
            std::thread::spawn(move || does(stream));
        }
    });
    let keys = [
        ("AWS_ACCESS_KEY_ID", "key of a test"),
        ("AWS_SECRET_ACCESS_KEY", "secret of a test"),
    ];
    let options = S3Options {
        endpoint_url: Some(at),
        region: Some("r".to_owned()),
        term: Duration::from_millis(term),
        retries: 1,
        environment: Environment::of(&keys),
        ..S3Options::default()
    };
    Client::new("bucket", options).unwrap()
}

/// Says this, and then one letter after the other.
fn drip(mut stream: TcpStream, begun: &str) -> std::io::Result<()> {
    stream.write_all(begun.as_bytes())?;
    loop {
        stream.write_all(b"a")?;
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
fn is_given_up(done: Result<impl Sized>) {
    let said = done.err().unwrap().to_string();
    assert!(said.contains(request::DRIPS), "{said}");
    assert!(said.contains("tried 2 times"), "{said}");
}

#[test]
fn a_service_that_drips_is_given_up() {
    is_given_up(service(200, |stream| drip(stream, "HTTP/1.1 200 OK\r\nx: ")).small("key"));
    let answers = |stream| drip(stream, "HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n");
    is_given_up(service(200, answers).small("key"));
    let takes = |mut stream: TcpStream| {
        let mut some = [0; 16 << 10];
        while stream.read(&mut some)? > 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    };
    // What the kernel takes by itself are megabytes, so it is a faster drip and a shorter term.
    is_given_up(service(20, takes).put("key", &vec![0; 32 << 20], Vec::new()));
}
