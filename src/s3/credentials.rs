//! Whose keys sign the requests: looked for in a fixed order, fetched again before they expire.
//! Secrets leave this module for the signer only; nothing here shows one.

mod fetched;

use super::config::{self, Environment, Profile};
use crate::error::{Error, Result};
use fetched::Fetched;
use jiff::{SignedDuration, Timestamp};
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// What signs a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) id: String,
    pub(crate) secret: Secret,
    pub(crate) token: Option<Secret>,
    pub(crate) expires: Option<Timestamp>,
}

/// Where keys come from, and the ones in use.
#[derive(Debug)]
pub(crate) struct Credentials {
    /// In words, for errors and logs.
    pub(crate) source: String,
    /// How to get new ones; `None` for keys that were simply written down.
    fetched: Option<Fetched>,
    keys: Mutex<Keys>,
}

/// Keys are fetched again when they have less than this left.
const EARLY: SignedDuration = SignedDuration::from_mins(5);

impl Credentials {
    /// Looks in the documented order: environment, profile, `~/.boto`, systemd, container,
    /// instance. A profile that was asked for by option comes before the environment.
    pub(crate) fn find(environment: &Environment, wanted: Option<&str>) -> Result<Credentials> {
        if wanted.is_none()
            && let Some(keys) = from_environment(environment)?
        {
            return Ok(Self::written("the environment", keys));
        }
        if wanted.is_none() {
            no_web_identity(environment)?;
        }
        let profile = Profile::load(environment, wanted)?;
        if let Some(found) = from_profile(&profile)? {
            return Ok(found);
        }
        if let Some(found) = from_files(environment, &profile)? {
            return Ok(found);
        }
        for fetched in [
            Fetched::container(environment)?,
            Fetched::instance(environment),
        ] {
            let Some(fetched) = fetched else { continue };
            if let Some(keys) = fetched.fetch()? {
                return Ok(Self::renewable(fetched, keys));
            }
        }
        Err(nothing_found(environment))
    }

    fn written(source: impl Into<String>, keys: Keys) -> Credentials {
        Credentials {
            source: source.into(),
            fetched: None,
            keys: Mutex::new(keys),
        }
    }

    fn renewable(fetched: Fetched, keys: Keys) -> Credentials {
        Credentials {
            source: fetched.to_string(),
            fetched: Some(fetched),
            keys: Mutex::new(keys),
        }
    }

    /// Keys that are good for a while yet. When new ones cannot be had, the old ones serve until
    /// they expire.
    pub(crate) fn keys(&self, now: Timestamp) -> Result<Keys> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |keys: &Keys| keys.expires.map(|end| end.duration_since(now));
        if let Some(fetched) = &self.fetched
            && left(&keys).is_some_and(|left| left < EARLY)
        {
            match fetched.fetch() {
                Ok(Some(new)) => *keys = new,
                Ok(None) if left(&keys).is_some_and(|left| left.is_negative()) => {
                    return Err(Error::failed(
                        format!("cannot renew the credentials from {}", self.source),
                        "it has none any more",
                    ));
                }
                Err(error) if left(&keys).is_some_and(|left| left.is_negative()) => {
                    return Err(error);
                }
                Ok(None) | Err(_) => {}
            }
        }
        Ok(keys.clone())
    }

    /// After the service called these keys expired: whether there are other ones now.
    pub(crate) fn renew(&self, old: &Keys) -> Result<bool> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if *keys == *old
            && let Some(fetched) = &self.fetched
            && let Some(new) = fetched.fetch()?
        {
            *keys = new;
        }
        Ok(*keys != *old)
    }
}

fn from_environment(environment: &Environment) -> Result<Option<Keys>> {
    let get = |name: &str| environment.get(name);
    pair(
        "the environment",
        [
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
        ],
        get,
    )
}

/// Half a pair is an error that names the other half.
fn pair(
    place: &str,
    names: [&str; 3],
    get: impl Fn(&str) -> Option<String>,
) -> Result<Option<Keys>> {
    let half = |missing: &str, there: &str| {
        Error::failed(
            format!("cannot use the credentials in {place}"),
            format!("{there} is set and {missing} is not"),
        )
    };
    match (get(names[0]), get(names[1])) {
        (Some(id), Some(secret)) => Ok(Some(Keys {
            id,
            secret: Secret(secret),
            token: get(names[2]).map(Secret),
            expires: None,
        })),
        (Some(_), None) => Err(half(names[1], names[0])),
        (None, Some(_)) => Err(half(names[0], names[1])),
        (None, None) => Ok(None),
    }
}

const SETTINGS: [&str; 3] = [
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
];

/// Settings of a profile that make it another identity than that of the keys beside them.
const OTHERS: [&str; 5] = [
    "role_arn",
    "sso_session",
    "sso_start_url",
    "login_session",
    "web_identity_token_file",
];
const WAY_OUT: &str = "let credential_process fetch the keys, for example with 'aws configure \
                       export-credentials'";

/// AWS's tools would be the role of the token, and whatever is found further down is somebody else.
fn no_web_identity(environment: &Environment) -> Result<()> {
    const FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
    match environment.get(FILE) {
        None => Ok(()),
        Some(_) => Err(Error::failed(
            format!("cannot use the role of {FILE} (AWS_ROLE_ARN)"),
            format!(
                "this program cannot do web identities; in a profile that --profile names, {WAY_OUT}"
            ),
        )),
    }
}

fn from_profile(profile: &Profile) -> Result<Option<Credentials>> {
    let place = format!("the AWS profile '{}'", profile.name);
    let cannot = |said: String| Error::failed(format!("cannot use {place}"), said);
    if profile.named && profile.is_empty() {
        return Err(cannot(
            "neither ~/.aws/config nor ~/.aws/credentials has it".to_owned(),
        ));
    }
    let process = profile.get("credential_process");
    let mut others = OTHERS.into_iter();
    let other = others.find(|name| profile.get(name).is_some());
    // Keys beside a role are those that the role is asked for with, and another identity.
    if let (Some(other), None) = (other, process) {
        let said = format!("it relies on {other}, which this program cannot do; {WAY_OUT}");
        return Err(cannot(said));
    }
    let get = |name: &str| profile.get(name).map(str::to_owned);
    if other.is_none()
        && let Some(keys) = pair(&place, SETTINGS, get)?
    {
        return Ok(Some(Credentials::written(place, keys)));
    }
    if let Some(command) = process {
        let fetched = Fetched::process(&profile.name, command);
        return match fetched.fetch()? {
            Some(keys) => Ok(Some(Credentials::renewable(fetched, keys))),
            None => Ok(None),
        };
    }
    if profile.named {
        return Err(cannot(
            "it has no keys and no credential_process".to_owned(),
        ));
    }
    Ok(None)
}

/// `~/.boto`, and the file `aws-credentials` that a systemd unit may have been given.
fn from_files(environment: &Environment, profile: &Profile) -> Result<Option<Credentials>> {
    let boto = environment.at_home(".boto");
    let unit = environment.get("CREDENTIALS_DIRECTORY");
    let unit = unit.map(|dir| Path::new(&dir).join("aws-credentials"));
    for (place, file, section) in [
        ("~/.boto", boto, "Credentials"),
        (
            "$CREDENTIALS_DIRECTORY/aws-credentials",
            unit,
            &profile.name,
        ),
    ] {
        let sections = config::read(file.as_deref())?;
        let get = |name: &str| sections.get(section)?.get(name).cloned();
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        if let Some(keys) = pair(place, SETTINGS, get)? {
            return Ok(Some(Credentials::written(place, keys)));
        }
    }
    Ok(None)
}

fn nothing_found(environment: &Environment) -> Error {
    let mut said = "looked in the environment (AWS_ACCESS_KEY_ID), ~/.aws/credentials, \
                    ~/.aws/config, ~/.boto, $CREDENTIALS_DIRECTORY, and asked for those of a \
                    container or an instance"
        .to_owned();
    if environment.get("SUDO_USER").is_some() {
        said.push_str("; sudo drops the environment and changes the home directory");
    }
    Error::failed("cannot find credentials for S3", said)
}

#[cfg(test)]
mod tests;
