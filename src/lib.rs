//! Move sets of btrfs snapshots, keep them, and prove that they are whole.
//!
//! A **store** holds snapshots. It can *list*, *send*, *receive*, *copy* and *delete*.
//! A **diff** makes one snapshot out of another, or out of nothing.
//! **plan** chooses diffs; it only thinks.
//! **sync** carries them out; a transfer is a read and a write.
//!
//! Two promises carry the correctness:
//!
//! 1. **End of stream means complete.** `Read::read` returns `Ok(0)` only when every byte was
//!    delivered and the producer succeeded.
//! 2. **Drop means abort.** What is written to a [`store::Sink`] does not exist until the
//!    consuming `finish`.
//!
//! The modules stand in reading order; each uses only those above it (a test checks this).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

// Names: what everything speaks of.
pub mod error;
pub mod snapshot;

pub mod stream;

pub mod glob;

// The system: all the unsafe there is, and what stands on it.
pub mod sys;

pub mod btrfs;

pub mod process;

pub mod s3;

// Keeps: what a store is, and the stores.
pub mod store;

// Thinks.
pub mod plan;

// Shows.
pub mod list;
