//! Move sets of btrfs snapshots, keep them, and look again whether they are whole.
//!
//! A **store** holds snapshots. It can *list*, *send*, *receive*, *copy* and *delete*.
//! A **diff** makes one snapshot out of another, or out of nothing.
//! **plan** chooses diffs; it only thinks.
//! **sync** carries them out; a transfer is a read and a write.
//! **stream** rehearses a diff at its source and mends it; **receive** makes a stream into a tree.
//! **remote** and **serve** are a store with a pipe in the middle.
//! **backup** is a snapshot, a plan, a sync and a prune; **restore** is a sync the other way;
//! **verify** looks again.
//!
//! Three promises carry the correctness:
//!
//! 1. **End of stream means complete.** `Read::read` returns `Ok(0)` only when every byte was
//!    delivered and the producer succeeded.
//! 2. **Drop means abort.** What is written to a [`store::Sink`] does not exist until the
//!    consuming `finish`.
//! 3. **What is not known is not done.** Nothing is deleted, replaced, built upon or called good because
//!    of its name, its neighbours, or something that is absent: there is a record that says so, or a
//!    comparison that has been made.
//!
//! The modules stand in reading order; each uses only those above it (a test checks this).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

/// Version of every JSON object that the programs print. It changes if the meaning of a field does.
pub const JSON_VERSION: u32 = 2;

// The ground: words, the system's calls, and what computes.
pub mod text;

pub mod error;

pub mod sys;

pub mod parallel;

pub mod digest;

// What everything speaks of.
pub mod snapshot;

pub mod proof;

pub mod archive;
pub mod prices;

pub mod glob;
pub mod stream;

// What stands on the system.
pub mod btrfs;
pub mod log;
pub mod machine;
pub mod process;

pub mod limiter;

pub mod receive;

pub mod objects;

pub mod s3;

pub mod checksum;

// What holds snapshots: the promise, and the stores.
pub mod store;

// What thinks, and what does.
pub mod attribution;

pub mod compare;

pub mod plan;

// What happens, and how people and scripts see it.
pub mod report;

pub mod event;

pub mod sync;

pub mod verify;

pub mod backup;

pub mod restore;

// The programs.
pub mod list;

pub mod progress;

pub mod cli;

#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
