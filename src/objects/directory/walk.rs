//! Which objects a directory has: a walk over the names that keys get. What has other names is counted,
//! and left alone; what cannot be read is named, and keeps nobody from the rest.

use super::files::join;
use super::marker::is_nobodys;
use super::{Directory, explained, is_gone, names, unfinished};
use crate::objects::{Inventory, Object, Unread};
use crate::text::{numbered, shown};
use std::io;

/// What a walk finds.
#[derive(Default)]
struct DirectoryWalk {
    objects: Vec<Object>,
    foreign: usize,
    /// The name of one of those.
    example: String,
    unread: Vec<Unread>,
}

impl Directory {
    /// Everything whose key begins so.
    pub(super) fn found(&self, prefix: &str) -> io::Result<Inventory> {
        let folder = prefix
            .rsplit_once('/')
            .map(|(folder, _)| names::path(folder));
        let mut walk = DirectoryWalk::default();
        self.walk(&folder.unwrap_or_default(), &mut walk)?;
        walk.objects.retain(|object| object.key.starts_with(prefix));
        walk.objects.sort_by(|a, b| a.key.cmp(&b.key));
        walk.unread.retain(|unread| unread.concerns(prefix));
        let (mut uploads, untold) = unfinished::all(&self.files);
        let untold = match untold {
            Some(error) if is_gone(&error) => return Err(error),
            untold => untold,
        };
        uploads.retain(|upload| upload.key.starts_with(prefix));
        let mut remarks = self.remarks.clone();
        remarks.extend(untold.map(|error| {
            let so = "what interrupted runs left may be missing in what is shown, and no run goes on with it then";
            let place = shown(self.root.join(unfinished::UNFINISHED));
            format!("{}; {so}", explained(format!("cannot read raw:{place}"), error).words())
        }));
        remarks.extend(walk.foreign(&self.root.display().to_string()));
        Ok(Inventory {
            objects: walk.objects,
            uploads,
            remark: (!remarks.is_empty()).then(|| remarks.join("; ")),
            unread: walk.unread,
        })
    }

    /// # Errors
    /// If the directory itself cannot be read, or the disk or the server is gone and nothing can be.
    fn walk(&self, dir: &str, found: &mut DirectoryWalk) -> io::Result<()> {
        for (name, kind) in self.files.names(dir)? {
            let path = join(dir, &name);
            match kind {
                _ if is_apart(dir, &name) => {}
                libc::DT_DIR if names::may_be(&name) => match self.walk(&path, found) {
                    Err(error) if !is_gone(&error) => {
                        found.unread.push(self.unread(&path, true, error));
                    }
                    walked => walked?,
                },
                libc::DT_REG if name.ends_with(names::META) => {}
                libc::DT_REG | libc::DT_UNKNOWN if names::may_be(&name) => match self.object(&path)
                {
                    Ok(Some(object)) => found.objects.push(object),
                    Ok(None) => found.is_foreign(path),
                    Err(error) if is_gone(&error) => return Err(error),
                    Err(error) => found.unread.push(self.unread(&path, false, error)),
                },
                _ => found.is_foreign(path),
            }
        }
        Ok(())
    }

    /// What cannot be read. Where its name does not tell its key, any below the next folder may be its.
    fn unread(&self, path: &str, folder: bool, error: io::Error) -> Unread {
        let shown_path = shown(self.root.join(path));
        let why = explained(format!("cannot read raw:{shown_path}"), error).words();
        let key = match names::key(path) {
            Some(key) if folder => key + "/",
            Some(key) => key,
            None => folder_of(path),
        };
        Unread { key, why }
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

/// What the keys begin with of what is in the next folder whose name tells.
fn folder_of(path: &str) -> String {
    let above = path.rsplit_once('/').map_or("", |(above, _)| above);
    match names::key(above) {
        _ if above.is_empty() => String::new(),
        Some(key) => key + "/",
        None => folder_of(above),
    }
}

/// What is no key's, and of which everybody knows why it is there.
fn is_apart(dir: &str, name: &str) -> bool {
    is_nobodys(name) || dir.is_empty() && name.starts_with('.')
}

impl DirectoryWalk {
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
