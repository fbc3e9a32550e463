//! Move sets of btrfs snapshots, keep them, and look again whether they are whole.
//!
//! A **store** holds snapshots. It can *list*, *send*, *receive*, *copy* and *delete*.
//! A **diff** makes one snapshot out of another, or out of nothing. Diffs make a **graph**.
//! **plan** chooses diffs; it only thinks.
//! **sync** carries them out; a transfer is a read and a write.
//! **remote** and **serve** are a store with a pipe in the middle.
//! A **bucket** is a store on **objects**; a **layout** says what their keys mean.
//! **stream** rehearses a diff at its source and mends it; **receive** makes a stream into a tree.
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
//! The modules stand in reading order; each uses only those above it (a test checks this). Whoever looks for
//! the way of a command begins in `cli`, at the file with its name: that makes an order of what was typed, has
//! [`store::open`] make stores of locations, and gives both to [`sync`], [`backup`], [`restore`] or [`verify`]. These
//! know stores as the trait [`store::Store`] only, and tell what happens as [`event::Event`]s, which
//! [`progress`] shows.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

/// Version of every JSON object that the programs print. It changes if the meaning of a field does.
pub const JSON_VERSION: u32 = 2;

// The ground: words for values, errors, the system's calls, threads, and what computes.
pub mod text;

pub mod error;

pub mod sys;

pub mod parallel;

pub mod digest;

// The vocabulary: values that everything else speaks of, which touch nothing.
pub mod snapshot;

pub mod proof;

pub mod archive;
pub mod prices;

pub mod glob;

// Send streams as bytes: parsed, rehearsed and mended as they pass.
pub mod stream;

// What touches the machine and the network.
pub mod btrfs;
pub mod log;
pub mod machine;
pub mod process;

pub mod limiter;

pub(crate) mod pace;

pub mod receive;

pub mod objects;

pub mod s3;

pub mod checksum;

// What keeps snapshots: one trait, and the stores behind it.
pub mod store;

// What thinks, and what looks for it.
pub mod attribution;

pub mod compare;

pub mod plan;

// What is said: to people and to scripts, from one value.
pub mod report;

pub mod event;

// What does the work, on stores of any kind.
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
