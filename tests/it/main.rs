//! Integration tests on real filesystems and servers, with their own runner.
//!
//! Each test runs in a process of its own, so that a crash, a hang or a kill -9 of one leaves
//! the others alone, and the runner unmounts, detaches and removes whatever it left.
//! `cargo test --test it -- NAME…` runs the tests whose names contain one of the words; they are
//! listed and chosen with the options of Rust's own harness, so `cargo nextest` and editors can too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod kit;
use kit::{
    apart, bucket, contract, damage, disks, memory, pipes, proxy, runner, servers, sources, sshd,
    streams, subvolumes, support, targets, tree,
};

mod architecture;
mod archive_store;
mod archives;
mod backup;
mod btrfs;
mod btrfslist;
mod bucket_faults;
mod bucket_found;
mod bucket_suites;
mod bucket_unread;
mod checksum;
mod clean;
mod clones;
mod cold;
mod commands;
mod compare;
mod config_files;
mod configured;
mod copies;
mod cut;
mod digest;
mod documents;
mod drill;
mod elsewhere;
mod examples;
mod faults;
mod histories;
mod hostile;
mod interleaved;
mod json;
mod lifecycle;
mod local;
mod mended;
mod moved;
mod moving;
mod one_connection;
mod origin;
mod owner;
mod packaging;
mod parents;
mod places;
mod quarantine;
mod raw;
mod raw_copied;
mod raw_faults;
mod raw_runs;
mod raw_unread;
mod read_ahead;
mod readme;
mod receive;
mod remote;
mod restore;
mod running;
mod s3;
mod s3_faults;
mod s3_sync;
mod s3_tls;
mod scheduled;
mod screen;
mod security;
mod shared;
mod shown;
mod smoke;
mod soak;
mod ssh;
mod ssh_faults;
mod stores;
mod sync;
mod two_disks;
mod verify;
mod verify_archives;
mod ways_out;
mod wire;

fn main() -> std::process::ExitCode {
    apart::heed_signals();
    if let Some(code) = histories::asked().or_else(soak::asked) {
        return code;
    }
    runner::main(
        &[
            architecture::TESTS,
            archive_store::TESTS,
            archive_store::OWN,
            archives::TESTS,
            backup::TESTS,
            bucket_faults::TESTS,
            bucket_found::TESTS,
            bucket_suites::TESTS,
            bucket_unread::TESTS,
            btrfs::TESTS,
            btrfslist::TESTS,
            &checksum::TESTS.concat(),
            clean::TESTS,
            clones::TESTS,
            cold::TESTS,
            commands::TESTS,
            commands::completions::TESTS,
            compare::TESTS,
            config_files::TESTS,
            configured::TESTS,
            copies::TESTS,
            cut::TESTS,
            digest::TESTS,
            documents::TESTS,
            drill::TESTS,
            examples::TESTS,
            elsewhere::TESTS,
            faults::TESTS,
            histories::TESTS,
            hostile::TESTS,
            interleaved::TESTS,
            json::TESTS,
            lifecycle::TESTS,
            local::TESTS,
            mended::OWN,
            mended::TESTS,
            moved::TESTS,
            moving::TESTS,
            one_connection::TESTS,
            origin::TESTS,
            owner::TESTS,
            packaging::TESTS,
            parents::TESTS,
            places::TESTS,
            quarantine::TESTS,
            raw::TESTS,
            raw_copied::TESTS,
            raw_faults::TESTS,
            raw_runs::TESTS,
            raw_unread::TESTS,
            read_ahead::TESTS,
            readme::TESTS,
            receive::TESTS,
            remote::TESTS,
            restore::TESTS,
            restore::FROZEN,
            restore::OWN,
            running::TESTS,
            running::examples(),
            s3::TESTS,
            s3::OWN,
            s3_faults::TESTS,
            s3_sync::TESTS,
            s3_sync::OWN,
            s3_tls::TESTS,
            scheduled::TESTS,
            screen::TESTS,
            two_disks::TESTS,
            security::TESTS,
            security::buckets::TESTS,
            security::buckets::OWN,
            security::servers::TESTS,
            security::silence::TESTS,
            security::states::TESTS,
            security::users::TESTS,
            shared::TESTS,
            shared::BUCKETS,
            shown::TESTS,
            smoke::TESTS,
            soak::TESTS,
            ssh::TESTS,
            ssh_faults::TESTS,
            stores::TESTS,
            sync::TESTS,
            verify::TESTS,
            verify::BUCKETS,
            verify_archives::TESTS,
            ways_out::TESTS,
            wire::TESTS,
        ]
        .concat(),
    )
}
