//! `buttersink`: arguments and `main`, nothing else.

fn main() {}
