//! `buttersink`: arguments and `main`, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    buttersink::cli::main(std::env::args_os())
}
