//! How fast streams pass through the frames alone: no ssh, no disk, only two pipes and two
//! threads. Asserts nothing.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use buttersink::error::{Error, Result};
use buttersink::snapshot::{Diff, Listing, Size, Sizes, Uuid};
use buttersink::store::remote::Remote;
use buttersink::store::serve::serve;
use buttersink::store::{Access, Hello, Receipt, Sink, Store};
use buttersink::sys;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

const BYTES: u64 = 8 << 30;
const RUNS: usize = 5;

/// Sends a stream that costs nothing, and forgets what it receives.
struct Nothing;

struct Stream(u64);

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.0.min(buf.len() as u64);
        self.0 -= n;
        Ok(n as usize)
    }
}

struct Forget(u64);

impl Write for Forget {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Forget {
    fn finish(self: Box<Self>) -> Result<Receipt> {
        Ok(Receipt::of(self.0))
    }
}

impl Store for Nothing {
    fn list(&mut self) -> Result<Listing> {
        Ok(Listing::default())
    }

    fn measure(&mut self, _: &[Diff]) -> Result<Sizes> {
        Err(Error::failed("measuring", "not here"))
    }

    fn send(&mut self, _: &Diff) -> Result<Box<dyn Read + '_>> {
        Ok(Box::new(Stream(BYTES)))
    }

    fn receive(&mut self, _: &Diff, _: &Path) -> Result<Box<dyn Sink + '_>> {
        Ok(Box::new(Forget(0)))
    }

    fn copy(&mut self, _: &Path, _: &Path) -> Result<()> {
        Err(Error::failed("copying", "not here"))
    }

    fn delete(&mut self, _: &Path) -> Result<()> {
        Err(Error::failed("deleting", "not here"))
    }
}

fn main() {
    let dial = || {
        let ((near_in, far_out), (far_in, near_out)) = (io::pipe().unwrap(), io::pipe().unwrap());
        sys::set_pipe_size(near_in.as_fd(), 1 << 20);
        sys::set_pipe_size(far_in.as_fd(), 1 << 20);
        std::thread::spawn(move || {
            serve(|_| Ok(Box::new(Nothing)), Access::Write, far_in, far_out)
        });
        Ok((
            Box::new(near_in) as Box<dyn Read + Send>,
            Box::new(near_out) as Box<dyn Write + Send>,
        ))
    };
    let mut far = Remote::connect("far", Access::Write, Hello::here(), Box::new(dial)).unwrap();
    let diff = Diff {
        to: Uuid([1; 16]),
        from: None,
        size: Size::Exact(BYTES),
        clones: Vec::new(),
    };
    let mut piece = vec![0; 1 << 20];
    for _ in 0..RUNS {
        let start = Instant::now();
        let mut stream = far.send(&diff).unwrap();
        while stream.read(&mut piece).unwrap() > 0 {}
        drop(stream);
        let pull = start.elapsed();
        let start = Instant::now();
        let mut sink = far.receive(&diff, Path::new("x")).unwrap();
        for _ in 0..BYTES >> 20 {
            sink.write_all(&piece).unwrap();
        }
        assert_eq!(sink.finish().unwrap().bytes, BYTES);
        let rate = |time: std::time::Duration| BYTES as f64 / 1e9 / time.as_secs_f64();
        println!(
            "pull {:5.2} GB/s   push {:5.2} GB/s",
            rate(pull),
            rate(start.elapsed())
        );
    }
}
