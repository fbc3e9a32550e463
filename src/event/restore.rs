//! What happens in a restore beside its steps. Values that show themselves; knows nothing of who hears
//! them.

use crate::archive::Backup;
use crate::report::{Bytes, Column, Rows, path, table};
use crate::report::{Formatted, data};
use crate::snapshot::{path_text, shown};
use crate::text::{counted, human};
use serde::{Serialize, Serializer};
use std::fmt;
use std::path::PathBuf;

/// What a restore will do.
#[derive(Clone, Debug, Serialize)]
pub struct Restoring {
    /// The name of the backups.
    pub subvolume: String,
    /// The key of the manifest that is restored.
    pub manifest_key: String,
    /// Why that one is restored.
    pub why: String,
    /// Its chain, the full one first.
    #[serde(serialize_with = "rows")]
    pub chain: Vec<Link>,
    /// Bytes to fetch.
    pub bytes: u64,
    /// Objects to fetch.
    pub objects: usize,
    /// How many of them cannot be read yet.
    pub frozen: usize,
    /// How they are thawed.
    pub tier: String,
    /// How long that takes for each class that needs it, in words.
    #[serde(skip)]
    pub waits: Vec<String>,
    /// What it costs, if that is known.
    pub cost_dollars: Option<f64>,
    /// What that costs, in words.
    pub cost: String,
    /// Where snapshots are received.
    #[serde(with = "path_text")]
    pub received_in: PathBuf,
    /// What the writable snapshot will be.
    #[serde(with = "path_text")]
    pub target: PathBuf,
}

/// A backup of the chain, and what restoring it takes.
#[derive(Clone, Debug)]
pub struct Link {
    /// The backup.
    pub backup: Backup,
    /// How many of its objects have to thaw.
    pub frozen: usize,
    /// The storage classes of its objects.
    pub classes: Vec<String>,
    /// Where it is already.
    pub present: Option<PathBuf>,
    /// It, or one that builds on it, is there: it need not be fetched.
    pub needed: bool,
}

type Field = Column<Link>;

const CHAIN: &[Field] = &[
    Field::json("kind", |link| Box::new(link.backup.kind)).shown(3, "KIND"),
    Field::json("created_at", |link| {
        let made = &link.backup.created_at;
        Box::new(Formatted(shown(made), made))
    })
    .shown(2, "BACKED UP"),
    Field::json("name", |link| {
        let name = &link.backup.snapshot;
        Box::new(Formatted(shown(name), name))
    })
    .shown(1, "NAME"),
    Field::json("bytes", |link| Box::new(Bytes(link.backup.bytes)))
        .shown(4, "STORED")
        .right(),
    Field::json("chunks", |link| Box::new(link.backup.chunks.len()))
        .shown(5, "CHUNKS")
        .right(),
    Field::text(6, |link| Box::new(shown(link.state()))).shown(6, "STATE"),
    Field::json("frozen", |link| data(link.frozen)),
    Field::json("classes", |link| data(&link.classes)),
    Field::json("present", |link| match &link.present {
        Some(present) => path(present),
        None => data(()),
    }),
    Field::json("needed", |link| data(link.needed)),
];

fn rows<S: Serializer>(links: &[Link], to: S) -> Result<S::Ok, S::Error> {
    Rows(CHAIN, links).serialize(to)
}

impl Link {
    fn state(&self) -> String {
        match (&self.present, self.needed, self.frozen) {
            (Some(path), false, _) => format!("is here: {}", shown(path)),
            (_, false, _) => "not needed".to_owned(),
            (_, true, 0) if self.classes.iter().all(String::is_empty) => "to fetch".to_owned(),
            (_, true, 0) => self.classes.join(" "),
            (_, true, n) => format!("{}, {n} frozen", self.classes.join(" ")),
        }
    }
}

impl fmt::Display for Restoring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, key) = (shown(&self.subvolume), shown(&self.manifest_key));
        writeln!(f, "{name} from {key} ({})", self.why)?;
        f.write_str(&table(CHAIN, &self.chain))?;
        let (base, target) = (shown(&self.received_in), shown(&self.target));
        if self.bytes == 0 {
            return write!(f, "nothing to fetch\nwritable at {target}");
        }
        let (size, bytes) = (human(self.bytes), self.bytes);
        let objects = counted(self.objects, "object");
        let frozen = match self.frozen {
            0 => String::new(),
            n => format!(", {n} of them frozen"),
        };
        writeln!(f, "to fetch: {size} ({bytes} bytes) in {objects}{frozen}")?;
        for wait in &self.waits {
            writeln!(f, "to wait for {wait}")?;
        }
        writeln!(f, "{}", self.cost)?;
        write!(f, "received read-only in {base}, then writable at {target}")
    }
}
