//! The environment and the configuration files that AWS's tools share, and `~/.boto`.
//! Reads settings; what they mean for a connection is decided elsewhere.

use crate::error::{Doing, Error, Result};
use crate::sys::secure_open;
use crate::text::shown;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// As many bytes as a file of theirs may have.
const LONGEST: u64 = 1 << 20;

/// Where variables come from: the process's environment, or a test's.
#[derive(Clone)]
pub struct Environment(Arc<Lookup>);

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Environment {
    /// The variables of this process.
    pub fn process() -> Self {
        Environment(Arc::new(|name| std::env::var(name).ok()))
    }

    /// Exactly these variables.
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let map: BTreeMap<String, String> = pairs.iter().map(owned).collect();
        Environment(Arc::new(move |name| map.get(name).cloned()))
    }

    /// A variable; `None` also if it is empty, since that is how people unset one.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// A file below the home directory.
    pub(crate) fn at_home(&self, file: &str) -> Option<PathBuf> {
        Some(Path::new(&self.get("HOME")?).join(file))
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self::process()
    }
}

/// Variables hold secrets, so none is shown.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

/// Sections of `name = value` lines.
pub(crate) type Sections = BTreeMap<String, BTreeMap<String, String>>;

/// Reads such a file; an absent one is empty.
pub(crate) fn read(path: Option<&Path>) -> Result<Sections> {
    let Some(path) = path else {
        return Ok(Sections::new());
    };
    match secure_open::read_file(path, LONGEST) {
        Ok(text) => Ok(parse(&String::from_utf8_lossy(&text))),
        Err(error) if absent(&error) => Ok(Sections::new()),
        Err(error) => Err(error).doing(|| format!("cannot read {}", shown(path))),
    }
}

fn absent(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// Lines that are further in than the setting above them belong to it, if it has no value itself: below `s3 =`
/// the line `endpoint_url = x` is the setting `s3.endpoint_url`. All settings of a section may be indented.
fn parse(text: &str) -> Sections {
    let (mut sections, mut name) = (Sections::new(), String::new());
    let mut above: Option<(usize, String)> = None;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let inside = line.trim_start_matches([' ', '\t']);
        let indent = line.len() - inside.len();
        if inside.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = inside.strip_prefix('[') {
            let inside = section.split(']').next().unwrap_or_default();
            name = inside.split_whitespace().collect::<Vec<_>>().join(" ");
            above = None;
        } else if let Some((key, value)) = line.split_once(['=', ':']) {
            let (mut key, value) = (key.trim().to_ascii_lowercase(), value.trim());
            match above.as_ref().filter(|(least, _)| indent > *least) {
                Some((_, above)) if above.is_empty() => continue,
                Some((_, above)) => key = format!("{above}.{key}"),
                None if value.is_empty() => above = Some((indent, key.clone())),
                None => above = Some((indent, String::new())),
            }
            let section = sections.entry(name.clone()).or_default();
            section.insert(key, value.to_owned());
        }
    }
    sections
}

/// The settings of one profile, from both files; the credentials file wins.
#[derive(Clone, Default)]
pub(crate) struct Profile {
    pub(crate) name: String,
    /// Whether a person named it, so that its absence is an error.
    pub(crate) named: bool,
    settings: BTreeMap<String, String>,
    /// The settings of the `services` section that it names.
    services: BTreeMap<String, String>,
}

impl Profile {
    /// The profile of this name, or `$AWS_PROFILE`'s, or `default`.
    pub(crate) fn load(environment: &Environment, wanted: Option<&str>) -> Result<Profile> {
        let named = wanted
            .map(str::to_owned)
            .or_else(|| environment.get("AWS_PROFILE"))
            .or_else(|| environment.get("AWS_DEFAULT_PROFILE"));
        let file = |variable: &str, usual: &str| {
            let said = environment.get(variable).map(PathBuf::from);
            said.or_else(|| environment.at_home(usual))
        };
        let config = read(file("AWS_CONFIG_FILE", ".aws/config").as_deref())?;
        let secret = file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials");
        let secret = read(secret.as_deref())?;
        let name = named.clone().unwrap_or_else(|| "default".to_owned());
        let mut settings = BTreeMap::new();
        for section in [
            config.get(&name).filter(|_| name == "default"),
            config.get(&format!("profile {name}")),
            secret.get(&name),
        ] {
            settings.extend(
                section
                    .into_iter()
                    .flatten()
                    .map(|(k, v)| (k.clone(), v.clone())),
            );
        }
        let services = match settings.get("services").filter(|value| !value.is_empty()) {
            None => BTreeMap::new(),
            Some(services) => {
                let section = config.get(&format!("services {services}"));
                section.cloned().ok_or_else(|| {
                    let doing = format!("cannot use the AWS profile '{name}'");
                    let said = format!("~/.aws/config has no section [services {services}]");
                    Error::failed(doing, said)
                })?
            }
        };
        Ok(Profile {
            name,
            named: named.is_some(),
            settings,
            services,
        })
    }

    /// How often a request is repeated: one time less than `AWS_MAX_ATTEMPTS` or the profile's
    /// `max_attempts` say that it may be made; `usual` if neither is set.
    pub(crate) fn retries(&self, environment: &Environment, usual: u32) -> Result<u32> {
        let said = environment.get("AWS_MAX_ATTEMPTS");
        let Some(said) = said.or_else(|| self.get("max_attempts").map(str::to_owned)) else {
            return Ok(usual);
        };
        match said.parse() {
            Ok(attempts @ 1..=1000_u32) => Ok(attempts - 1),
            _ => Err(Error::usage(
                format!(
                    "cannot make '{}' attempts (AWS_MAX_ATTEMPTS, max_attempts)",
                    shown(said)
                ),
                "it takes a number from 1 to 1000",
            )),
        }
    }

    /// A setting that the profile has for S3 alone, which its `services` section may hold too.
    pub(crate) fn for_s3(&self, setting: &str) -> Option<&str> {
        let name = format!("s3.{setting}");
        let there = self.services.get(&name).or(self.settings.get(&name));
        there.map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A setting that is there and not empty.
    pub(crate) fn get(&self, setting: &str) -> Option<&str> {
        let value = self.settings.get(setting).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// Whether neither file has it.
    pub(crate) fn is_empty(&self) -> bool {
        self.settings.is_empty()
    }
}

/// A place for files of tests: where Cargo put the tests themselves.
#[cfg(test)]
pub(crate) fn beside_the_tests() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().to_owned()
}

#[cfg(any(test, feature = "fuzz"))]
/// Whatever such a file says, no name or value has blanks around it.
pub(crate) fn fuzz(bytes: &[u8]) {
    for (_, settings) in parse(&String::from_utf8_lossy(bytes)) {
        let words = settings.iter().flat_map(|(name, value)| [name, value]);
        words.for_each(|word| assert_eq!(word.trim(), word));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the parser of Python has it, which AWS's own programs use.
    #[test]
    fn settings_may_be_indented() {
        let text = "[a]\n  key = 1\n  other: x=y\n   more = 2\n  s3 =\n    region = in\n  # it = no\n  last = 3\n\
                    [b]\nkey = 4\n  it = goes on\n";
        let read = parse(text);
        let a = [
            ("key", "1"),
            ("last", "3"),
            ("other", "x=y"),
            ("s3", ""),
            ("s3.region", "in"),
        ];
        let of = |name: &str| -> Vec<(&str, &str)> {
            let section = read[name].iter();
            section
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect()
        };
        assert_eq!((of("a"), of("b")), (a.to_vec(), vec![("key", "4")]));
    }

    #[test]
    fn profiles_from_both_files() {
        let dir = beside_the_tests().join(format!("buttersink-config-{}", std::process::id()));
        std::fs::create_dir_all(dir.join(".aws")).unwrap();
        let config = "[default]\nregion=eu-west-1\n[profile  b]\nregion = us-west-2 \n\
                      s3 =\n  region = nested\n# region = comment\nservices = here\n\
                      [services here]\ns3 = \n\tendpoint_url = http://h\nsts =\n  endpoint_url = http://no\n\
                      [profile astray]\nservices = nowhere\n";
        std::fs::write(dir.join(".aws/config"), config).unwrap();
        std::fs::write(dir.join(".aws/credentials"), "[b]\naws_access_key_id=K=\n").unwrap();
        let home = dir.to_str().unwrap().to_owned();
        let environment = Environment::of(&[("HOME", &home), ("AWS_PROFILE", "b")]);
        let b = Profile::load(&environment, None).unwrap();
        let default = Profile::load(&environment, Some("default")).unwrap();
        let astray = Profile::load(&environment, Some("astray"));
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(b.get("region"), Some("us-west-2"));
        let attempts = |text: &str| b.retries(&Environment::of(&[("AWS_MAX_ATTEMPTS", text)]), 10);
        assert_eq!(attempts("").unwrap(), 10);
        assert_eq!(attempts("1").unwrap(), 0);
        assert_eq!(attempts("0").unwrap_err().exit_code(), 2);
        assert_eq!(b.for_s3("region"), Some("nested"));
        assert_eq!(b.for_s3("endpoint_url"), Some("http://h"));
        assert!(
            astray
                .err()
                .unwrap()
                .to_string()
                .contains("[services nowhere]")
        );
        assert_eq!(b.get("aws_access_key_id"), Some("K="));
        assert_eq!(default.get("region"), Some("eu-west-1"));
        let none = Profile::load(&environment, Some("c")).unwrap();
        assert!(none.is_empty() && none.named);
    }
}
