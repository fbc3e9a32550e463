//! The boundary with the kernel: all the `unsafe` there is, behind safe and typed functions.
//! Knows system calls; knows nothing of what they are for.

#![allow(unsafe_code)]

pub mod dir;
pub mod wide;
