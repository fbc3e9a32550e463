//! Feeds one target of the library, which `BUTTERSINK_FUZZ_TARGET` names, with bytes that reach ever more
//! of it. `make fuzz` builds and runs it.

#![no_main]

use std::sync::OnceLock;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fn target() -> fn(&[u8]) {
    let name = std::env::var("BUTTERSINK_FUZZ_TARGET").unwrap_or_default();
    let all = buttersink::fuzz::TARGETS;
    let found = all.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no target '{name}'")).1
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET.get_or_init(target)(bytes));
