//! Which names a store can keep snapshots under, told with its listing so that plans keep to them. Knows
//! rules as values; why a store has them is its own business.

use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a store asks of the names of snapshots. By default nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Names {
    /// They must be UTF-8.
    pub text: bool,
    /// The most bytes that one can have.
    pub longest: Option<usize>,
    /// First parts that mean something else there.
    pub reserved: Vec<String>,
}

impl Names {
    /// Whether any name will do. They are left out of JSON then, so that what older versions read is as they know it.
    pub(super) fn ask_nothing(&self) -> bool {
        *self == Names::default()
    }

    /// Why no snapshot can be kept under this name; `None` if one can.
    pub fn refuse(&self, path: &Path) -> Option<String> {
        let bytes = path.as_os_str().len();
        let first = path.iter().next().and_then(|part| part.to_str());
        if self.text && path.to_str().is_none() {
            return Some("names there are UTF-8 and this one is not: rename it".to_owned());
        }
        if let Some(longest) = self.longest.filter(|&longest| bytes > longest) {
            let said = format!("its name has {bytes} bytes, and {longest} are possible there");
            return Some(said);
        }
        let reserved = first.filter(|first| self.reserved.iter().any(|word| word == first))?;
        Some(format!(
            "the name {reserved} is reserved there: rename it, or use a prefix"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn only_what_a_store_asks_for() {
        let latin = Path::new(OsStr::from_bytes(b"caf\xe9"));
        let all = ["trash", "trash/one", "a/very/long/name"].map(Path::new);
        assert!(
            all.iter()
                .all(|path| Names::default().refuse(path).is_none())
        );
        assert_eq!(Names::default().refuse(latin), None);
        let strict = Names {
            text: true,
            longest: Some(12),
            reserved: vec!["trash".to_owned()],
        };
        assert!(all.iter().all(|path| strict.refuse(path).is_some()));
        assert!(strict.refuse(latin).is_some());
        for fine in ["trashed", "a/trash", "twelve bytes"] {
            assert_eq!(strict.refuse(Path::new(fine)), None, "{fine}");
        }
    }
}
