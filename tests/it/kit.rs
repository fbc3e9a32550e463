//! What tests are made with: filesystems, servers, stores, streams, suites and the runner. There
//! is no test in here.

mod told;
mod words;

pub(crate) mod apart;
pub(crate) mod runner;
pub(crate) mod snapshots;
pub(crate) mod support;

pub(crate) mod circles;
pub(crate) mod disks;
pub(crate) mod sources;
pub(crate) mod streams;
pub(crate) mod subvolumes;
pub(crate) mod tree;

pub(crate) mod memory;
pub(crate) mod servers;
pub(crate) mod sshd;
pub(crate) mod targets;

pub(crate) mod pipes;
pub(crate) mod proxy;

pub(crate) mod bucket;
pub(crate) mod contract;
pub(crate) mod damage;
