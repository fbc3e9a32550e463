//! `checksumdir`: arguments and `main`, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    buttersink::cli::checksumdir::main(std::env::args_os().skip(1))
}
