//! A directory on another machine, as people write it and as ssh wants it. Reaches nothing.

use crate::error::{Error, Result};
use crate::snapshot::shown;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// What follows `ssh://`: `[user@]host[:port]/dir/`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// `[user@]host`, as ssh wants it.
    login: OsString,
    port: Option<u16>,
    /// Absolute, with a slash at its end.
    dir: PathBuf,
}

impl Address {
    /// # Errors
    /// If ssh could not be given it, or it names no directory.
    pub(in crate::store) fn parse(text: &OsStr) -> Result<Address> {
        let wrong = |said: &str| {
            let doing = format!("cannot use the location 'ssh://{}'", shown(text));
            Error::usage(
                doing,
                format!("{said}: write ssh://[user@]host[:port]/dir/"),
            )
        };
        let bytes = text.as_bytes();
        let slash = bytes.iter().position(|&b| b == b'/');
        let (authority, dir) = bytes.split_at(slash.ok_or_else(|| wrong("it has no directory"))?);
        let authority = std::str::from_utf8(authority).map_err(|_| wrong("its host is no text"))?;
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let (host, port) = split_port(place).ok_or_else(|| wrong("its port is no number"))?;
        // ssh would take such a host for an option, or hand it to a shell.
        let odd = |c: char| !c.is_alphanumeric() && !"-_.:%+=@\\".contains(c);
        let names = [user.unwrap_or("user"), host];
        if names
            .iter()
            .any(|n| n.is_empty() || n.starts_with('-') || n.contains(odd))
        {
            return Err(wrong("its host or user is none that ssh could be given"));
        }
        let mut dir = OsString::from_vec(dir.to_vec());
        if !dir.as_bytes().ends_with(b"/") {
            dir.push("/");
        }
        let login = user.map_or(host.to_owned(), |user| format!("{user}@{host}"));
        Ok(Address {
            login: login.into(),
            port,
            dir: dir.into(),
        })
    }

    /// `[user@]host`, as ssh wants it.
    pub(crate) fn login(&self) -> &OsStr {
        &self.login
    }

    pub(in crate::store) fn port(&self) -> Option<u16> {
        self.port
    }

    /// As it was typed, with a slash at its end.
    pub(crate) fn dir(&self) -> &OsStr {
        self.dir.as_os_str()
    }

    pub(in crate::store) fn host(&self) -> String {
        shown(&self.login)
    }

    /// As a person writes it.
    pub(in crate::store) fn url(&self) -> String {
        let port = self
            .port
            .map_or_else(String::new, |port| format!(":{port}"));
        let login = match self.host() {
            login if login.contains(':') => match login.rsplit_once('@') {
                Some((user, host)) => format!("{user}@[{host}]"),
                None => format!("[{login}]"),
            },
            login => login,
        };
        format!("ssh://{login}{port}{}", shown(&self.dir))
    }
}

/// `host`, `host:port`, `[::1]` or `[::1]:port`.
fn split_port(place: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match place
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((host, "")) => return Some((host, None)),
        Some((host, rest)) => (host, rest.strip_prefix(':')?),
        None => match place.split_once(':') {
            None => return Some((place, None)),
            Some((host, port)) => (host, port),
        },
    };
    let port = port.parse().ok().filter(|&port| port > 0)?;
    Some((host, Some(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<Address> {
        Address::parse(OsStr::new(text))
    }

    #[test]
    fn addresses() {
        for (text, login, port, dir) in [
            ("h/b", "h", None, "/b/"),
            ("u@h.example:2222/b/c/", "u@h.example", Some(2222), "/b/c/"),
            ("[::1]/b/", "::1", None, "/b/"),
            ("u@[fe80::1%eth0]:22/b/", "u@fe80::1%eth0", Some(22), "/b/"),
            ("DOMAIN\\u@h/", "DOMAIN\\u@h", None, "/"),
            ("u@corp@h/b:c@d/", "u@corp@h", None, "/b:c@d/"),
        ] {
            let address = address(text).unwrap();
            assert_eq!(address.login, login, "{text}");
            assert_eq!(
                (address.port, address.dir()),
                (port, OsStr::new(dir)),
                "{text}"
            );
        }
        assert_eq!(
            address("u@[::1]:22/b").unwrap().url(),
            "ssh://u@[::1]:22/b/"
        );
        for wrong in [
            "",
            "h",
            "/b/",
            "@h/b/",
            "u@/b/",
            "h:/b/",
            "h:0/b/",
            "h:99999/b/",
            "h:x/b/",
            "-oProxyCommand=x/b/",
            "-l@h/b/",
            "u@-h/b/",
            "a b/b/",
            "h;x/b/",
            "$(x)/b/",
            "h\n/b/",
            "`x`/b/",
            "[::1/b/",
            "[::1]x/b/",
        ] {
            let error = address(wrong).expect_err(wrong);
            assert_eq!(error.exit_code(), 2, "{wrong}");
        }
    }
}
