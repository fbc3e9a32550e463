//! Credentials that have to be fetched: from a program, a container's or an instance's service.
//! Knows their protocols; when to fetch is decided by the caller.

use super::super::config::Environment;
use super::{Keys, Secret};
use crate::error::{Doing, Error, Result};
use crate::process;
use crate::sys::secure_open;
use serde::Deserialize;
use std::fmt;
use std::process::Command;
use std::time::Duration;
use ureq::{Agent, http};

/// How keys are fetched.
#[derive(Debug)]
pub(super) enum Fetched {
    /// By a program that writes JSON.
    Process { profile: String, command: String },
    /// From the container's service.
    Container {
        uri: String,
        authorization: Authorization,
    },
    /// From the instance's service, by its second protocol, which needs a session.
    Instance { endpoint: String },
}

/// What a container's service wants to see, read afresh each time since files change.
#[derive(Debug)]
pub(super) enum Authorization {
    None,
    Token(Secret),
    File(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    version: Option<u32>,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    #[serde(alias = "Token")]
    session_token: Option<String>,
    expiration: Option<String>,
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fetched::Process { profile, .. } => {
                write!(f, "credential_process of the AWS profile '{profile}'")
            }
            Fetched::Container { .. } => f.write_str("the container's service"),
            Fetched::Instance { .. } => f.write_str("the instance's service"),
        }
    }
}

impl Fetched {
    pub(super) fn process(profile: &str, command: &str) -> Fetched {
        Fetched::Process {
            profile: profile.to_owned(),
            command: command.to_owned(),
        }
    }

    /// The container's service, if the environment names one. The token goes to it, so it must be
    /// encrypted or on this machine.
    pub(super) fn container(environment: &Environment) -> Result<Option<Fetched>> {
        let relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        let relative = relative.map(|path| format!("http://169.254.170.2{path}"));
        let full = || environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        let Some(uri) = relative.or_else(full) else {
            return Ok(None);
        };
        if !may_get_a_token(&uri) {
            return Err(Error::usage(
                "cannot use AWS_CONTAINER_CREDENTIALS_FULL_URI",
                "it is neither https nor an address of this machine",
            ));
        }
        let file = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        let token = || environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN");
        let authorization = match file {
            Some(file) => Authorization::File(file),
            None => token().map_or(Authorization::None, |t| Authorization::Token(Secret(t))),
        };
        Ok(Some(Fetched::Container { uri, authorization }))
    }

    /// The instance's service, unless the environment forbids to ask.
    pub(super) fn instance(environment: &Environment) -> Option<Fetched> {
        let disabled = environment.get("AWS_EC2_METADATA_DISABLED");
        if disabled.is_some_and(|word| word.eq_ignore_ascii_case("true")) {
            return None;
        }
        let endpoint = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let endpoint = endpoint.unwrap_or_else(|| "http://169.254.169.254".to_owned());
        Some(Fetched::Instance {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
        })
    }

    /// New keys; `None` if nobody answers where an instance's service would be.
    pub(super) fn fetch(&self) -> Result<Option<Keys>> {
        let text = match self {
            Fetched::Process { command, .. } => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", command]);
                process::secrets::keep_secrets(&mut shell);
                Some(process::run(
                    shell,
                    &format!("cannot get credentials from {self}"),
                )?)
            }
            Fetched::Container { uri, authorization } => {
                let token = authorization.read()?;
                let token = token.as_deref().map(|token| ("authorization", token));
                Some(self.ask("GET", uri, token)?)
            }
            Fetched::Instance { endpoint } => self.ask_instance(endpoint)?,
        };
        text.map(|text| self.parse(&text)).transpose()
    }

    fn wrong(&self, said: impl Into<String>) -> Error {
        Error::failed(format!("cannot get credentials from {self}"), said)
    }

    fn ask_instance(&self, endpoint: &str) -> Result<Option<String>> {
        let uri = format!("{endpoint}/latest/api/token");
        let life = ("x-aws-ec2-metadata-token-ttl-seconds", "21600");
        // Whoever is not on an instance gets no answer here; that is no error.
        let Ok(token) = self.ask("PUT", &uri, Some(life)) else {
            return Ok(None);
        };
        let roles = format!("{endpoint}/latest/meta-data/iam/security-credentials/");
        let token = Some(("x-aws-ec2-metadata-token", token.trim()));
        let Ok(role) = self.ask("GET", &roles, token) else {
            return Ok(None); // an instance without a role
        };
        let role = role.lines().next().unwrap_or_default().trim();
        Ok(Some(self.ask("GET", &format!("{roles}{role}"), token)?))
    }

    fn ask(&self, method: &str, uri: &str, header: Option<(&str, &str)>) -> Result<String> {
        let config = Agent::config_builder()
            .proxy(None)
            .timeout_connect(Some(Duration::from_secs(1)))
            .timeout_global(Some(Duration::from_secs(5)))
            .max_redirects(0)
            .http_status_as_error(false);
        let mut request = http::Request::builder().method(method).uri(uri);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(&b""[..]);
        let request = request.map_err(|_| self.wrong("its address or its token is malformed"))?;
        let answer = Agent::new_with_config(config.build()).run(request);
        let mut answer = answer.map_err(|error| self.wrong(super::super::transport(&error)))?;
        if answer.status() != 200 {
            return Err(self.wrong(format!("it answered {}", answer.status())));
        }
        let text = answer
            .body_mut()
            .with_config()
            .limit(1 << 20)
            .read_to_string();
        text.map_err(|error| self.wrong(super::super::transport(&error)))
    }

    fn parse(&self, text: &str) -> Result<Keys> {
        // serde's words may quote the text, which holds the secret.
        let answer: Answer = serde_json::from_str(text)
            .map_err(|_| self.wrong("its answer is not the JSON that was agreed on"))?;
        if matches!(self, Fetched::Process { .. }) && answer.version != Some(1) {
            return Err(self.wrong("its answer has no \"Version\": 1"));
        }
        let lacks = |name: &str| self.wrong(format!("its answer has no {name}"));
        let expires = answer.expiration.map(|time| time.parse());
        Ok(Keys {
            id: answer.access_key_id.ok_or_else(|| lacks("AccessKeyId"))?,
            secret: Secret(
                answer
                    .secret_access_key
                    .ok_or_else(|| lacks("SecretAccessKey"))?,
            ),
            token: answer.session_token.map(Secret),
            expires: expires
                .transpose()
                .map_err(|_| lacks("Expiration that is a time"))?,
        })
    }
}

impl Authorization {
    fn read(&self) -> Result<Option<String>> {
        match self {
            Authorization::None => Ok(None),
            Authorization::Token(token) => Ok(Some(token.0.clone())),
            Authorization::File(path) => {
                let text = secure_open::read_file(path.as_ref(), 64 << 10);
                let text = text.doing(|| format!("cannot read the token in {path}"))?;
                Ok(Some(String::from_utf8_lossy(&text).trim().to_owned()))
            }
        }
    }
}

fn may_get_a_token(uri: &str) -> bool {
    let Ok(uri) = url::Url::parse(uri) else {
        return false;
    };
    let near = match uri.host() {
        Some(url::Host::Ipv4(ip)) => {
            ip.is_loopback() || [[169, 254, 170, 2], [169, 254, 170, 23]].contains(&ip.octets())
        }
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    uri.scheme() == "https" || near
}
