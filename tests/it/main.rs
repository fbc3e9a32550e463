//! Integration tests on real filesystems and servers, with their own runner.
//!
//! Each test runs in a process of its own, so that a crash, a hang or a kill -9 of one leaves
//! the others alone, and the runner unmounts, detaches and removes whatever it left.
//! `cargo test --test it -- NAME…` runs the tests whose names contain one of the words.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod runner;
mod support;

mod btrfs;
mod s3;
mod s3_faults;
mod servers;
mod smoke;
mod streams;

fn main() -> std::process::ExitCode {
    runner::main(
        &[
            smoke::TESTS,
            s3::TESTS,
            s3::OWN,
            s3_faults::TESTS,
            btrfs::TESTS,
        ]
        .concat(),
    )
}
