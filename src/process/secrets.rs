//! Which variables of our own environment children do not get. Knows names, and no values.

use std::process::Command;

/// Variables that are worth something to who reads the environment of a process.
const SECRETS: [&str; 5] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
];

/// Lets a child have the keys for buckets that are in our own environment: for a program that
/// fetches keys, and no other.
pub fn keep_secrets(command: &mut Command) {
    let own = |name: &str| Some((name.to_owned(), std::env::var_os(name)?));
    command.envs(SECRETS.into_iter().filter_map(own));
}

/// Keeps from a child what nobody gave it.
pub(super) fn drop_secrets(command: &mut Command) {
    for name in SECRETS {
        if command.get_envs().all(|(given, _)| given != name) {
            command.env_remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_asks_gets_keys() {
        let mut command = Command::new("env");
        command.env("AWS_SESSION_TOKEN", "asked for");
        drop_secrets(&mut command);
        for (name, value) in command.get_envs() {
            assert_eq!(value.is_some(), name == "AWS_SESSION_TOKEN", "{name:?}");
        }
        assert_eq!(command.get_envs().count(), SECRETS.len());
    }
}
