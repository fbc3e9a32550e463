//! Integration tests on real filesystems and servers, with their own runner.
//!
//! Each test runs in a process of its own, so that a crash, a hang or a kill -9 of one leaves
//! the others alone, and the runner unmounts, detaches and removes whatever it left.
//! `cargo test --test it -- NAME…` runs the tests whose names contain one of the words.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod runner;
mod sources;
mod subvolumes;
mod support;
mod tree;

mod architecture;
mod btrfs;
mod btrfslist;
mod checksum;
mod documents;
mod faults;
mod smoke;
mod sync;

fn main() -> std::process::ExitCode {
    runner::main(
        &[
            architecture::TESTS,
            btrfs::TESTS,
            btrfslist::TESTS,
            &checksum::TESTS.concat(),
            documents::TESTS,
            faults::TESTS,
            smoke::TESTS,
            sync::TESTS,
        ]
        .concat(),
    )
}
