//! What a listing shows, and what it could not look at. Knows keys; what they mean is for others to know.

use super::{Object, Unfinished};

/// Everything below a prefix, as one listing showed it.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// The objects.
    pub objects: Vec<Object>,
    /// The uploads that were not finished.
    pub uploads: Vec<Unfinished>,
    /// Why these are not known, if so.
    pub remark: Option<String>,
    /// What is there and could not be looked at.
    pub unread: Vec<Unread>,
}

impl Inventory {
    /// The part of it whose keys begin so.
    pub fn below(&self, prefix: &str) -> Inventory {
        let objects = self.objects.iter().filter(|o| o.key.starts_with(prefix));
        let uploads = self.uploads.iter().filter(|u| u.key.starts_with(prefix));
        let unread = self.unread.iter().filter(|u| u.concerns(prefix));
        Inventory {
            objects: objects.cloned().collect(),
            uploads: uploads.cloned().collect(),
            remark: self.remark.clone(),
            unread: unread.cloned().collect(),
        }
    }
}

/// Something that is there, and that a listing could not look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Its key, or a folder's with the slash at its end; empty if any key may be in it.
    pub key: String,
    /// Why, in words.
    pub why: String,
}

impl Unread {
    /// Whether what has this key is it, or may be in it.
    pub fn hides(&self, key: &str) -> bool {
        let folder = self.key.is_empty() || self.key.ends_with('/');
        self.key == key || folder && key.starts_with(&self.key)
    }

    /// Whether a key that begins so may be in it, or be its.
    pub fn concerns(&self, prefix: &str) -> bool {
        self.hides(prefix) || self.key.starts_with(prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_hides_what_is_below_it() {
        let of = |key: &str| Unread {
            key: key.to_owned(),
            why: String::new(),
        };
        for (unread, key, hides, concerns) in [
            ("a/b/", "a/b/c", true, true),
            ("a/b/", "a/bc", false, false),
            ("a/b/", "a/", false, true),
            ("a/b", "a/b", true, true),
            ("a/b", "a/b/c", false, false),
            ("a/b", "a/", false, true),
            ("", "anything", true, true),
            ("", "", true, true),
        ] {
            let told = (of(unread).hides(key), of(unread).concerns(key));
            assert_eq!(told, (hides, concerns), "{unread} {key}");
        }
    }
}
