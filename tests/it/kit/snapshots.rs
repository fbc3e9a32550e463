//! What people see, kept in files: `tests/it/snapshots/NAME.txt`. With `UPDATE_SNAPSHOTS=1` in the
//! environment the files are written anew, and what has changed is seen in the diff.

use std::path::Path;

/// Holds a text against the file of this name.
#[track_caller]
pub(crate) fn same_as_kept(name: &str, text: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots");
    let file = dir.join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, kept, "{} differs", file.display());
}
