//! Which objects a directory has: a walk over the names that keys get. What has other names is counted,
//! and left alone.

use super::files::join;
use super::marker::is_nobodys;
use super::{Directory, names, unfinished};
use crate::objects::{Inventory, Object};
use crate::text::{numbered, shown};
use std::io;

/// What a walk finds.
#[derive(Default)]
struct Walk {
    objects: Vec<Object>,
    foreign: usize,
    /// The name of one of those.
    example: String,
}

impl Directory {
    /// Everything whose key begins so.
    pub(super) fn found(&self, prefix: &str) -> io::Result<Inventory> {
        let folder = prefix
            .rsplit_once('/')
            .map(|(folder, _)| names::path(folder));
        let mut walk = Walk::default();
        self.walk(&folder.unwrap_or_default(), &mut walk)?;
        walk.objects.retain(|object| object.key.starts_with(prefix));
        walk.objects.sort_by(|a, b| a.key.cmp(&b.key));
        let mut uploads = unfinished::all(&self.files)?;
        uploads.retain(|upload| upload.key.starts_with(prefix));
        let mut remarks = self.remarks.clone();
        remarks.extend(walk.foreign(&self.root.display().to_string()));
        Ok(Inventory {
            objects: walk.objects,
            uploads,
            remark: (!remarks.is_empty()).then(|| remarks.join("; ")),
        })
    }

    fn walk(&self, dir: &str, found: &mut Walk) -> io::Result<()> {
        for (name, kind) in self.files.names(dir)? {
            let path = join(dir, &name);
            match kind {
                _ if is_apart(dir, &name) => {}
                libc::DT_DIR if names::may_be(&name) => self.walk(&path, found)?,
                libc::DT_REG if name.ends_with(names::META) => {}
                libc::DT_REG if names::may_be(&name) => match self.object(&path)? {
                    Some(object) => found.objects.push(object),
                    None => found.is_foreign(path),
                },
                _ => found.is_foreign(path),
            }
        }
        Ok(())
    }

    /// The object at a path; `None` if nobody knows its key.
    fn object(&self, path: &str) -> io::Result<Option<Object>> {
        let Some(found) = self.look_at(path)? else {
            return Ok(None);
        };
        let told = found.meta.map(|meta| meta.key);
        let told = told.filter(|key| names::path(key) == path);
        let key = names::key(path).or(told);
        Ok(key.map(|key| Object {
            key,
            size: found.size,
            etag: found.etag,
            modified: found.modified,
            class: String::new(),
        }))
    }
}

/// What is no key's, and of which everybody knows why it is there.
fn is_apart(dir: &str, name: &str) -> bool {
    is_nobodys(name) || dir.is_empty() && name.starts_with('.')
}

impl Walk {
    fn is_foreign(&mut self, path: String) {
        self.foreign += 1;
        self.example = path;
    }

    fn foreign(&self, root: &str) -> Option<String> {
        let files = numbered(self.foreign, "file", "files");
        let example = shown(&self.example);
        (self.foreign > 0).then(|| {
            format!(
                "raw:{root}: {files} with names that no key gets, such as {example}, left alone"
            )
        })
    }
}
