//! The order of credentials, what spoils them, and that no secret shows, with services made up here.

use super::super::config::beside_the_tests;
use super::*;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;

struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Home {
        let name = format!("buttersink-{name}-{}", std::process::id());
        let dir = beside_the_tests().join(name);
        std::fs::create_dir_all(dir.join(".aws")).unwrap();
        Home(dir)
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.0.join(file), text).unwrap();
    }

    fn with(&self, pairs: &[(&str, &str)]) -> Environment {
        let home = [
            ("HOME", self.0.to_str().unwrap()),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        Environment::of(&[&home[..], pairs].concat())
    }

    fn find(&self, pairs: &[(&str, &str)]) -> Result<Credentials> {
        Credentials::find(&self.with(pairs), None)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn id(credentials: &Credentials) -> String {
    credentials.keys(Timestamp::now()).unwrap().id
}

#[test]
fn the_order_is_the_documented_one() {
    let home = Home::new("order");
    let none = home.find(&[("SUDO_USER", "u")]).unwrap_err();
    assert_eq!(none.exit_code(), 1);
    assert!(none.to_string().contains("sudo drops the environment"));
    let unit = home.0.to_str().unwrap().to_owned();
    let systemd = [("CREDENTIALS_DIRECTORY", &unit[..])];
    home.write(
        "aws-credentials",
        "[default]\naws_access_key_id=unit\naws_secret_access_key=s\n",
    );
    assert_eq!(id(&home.find(&systemd).unwrap()), "unit");
    let boto = "[Credentials]\naws_access_key_id = boto\naws_secret_access_key = s\n";
    home.write(".boto", boto);
    assert_eq!(id(&home.find(&systemd).unwrap()), "boto");
    home.write(
        ".aws/config",
        "[default]\naws_access_key_id=config\naws_secret_access_key=s\n",
    );
    assert_eq!(id(&home.find(&systemd).unwrap()), "config");
    let environment = [("AWS_ACCESS_KEY_ID", "env"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let found = home.find(&environment).unwrap();
    assert_eq!(id(&found), "env");
    let named = Credentials::find(&home.with(&environment), Some("default")).unwrap();
    assert_eq!(id(&named), "config");
}

#[test]
fn half_a_pair_names_the_other_half() {
    let home = Home::new("half");
    let error = home.find(&[("AWS_ACCESS_KEY_ID", "k")]).unwrap_err();
    assert!(error.to_string().contains("AWS_SECRET_ACCESS_KEY is not"));
    let error = home
        .find(&[("AWS_SECRET_ACCESS_KEY", "hidden")])
        .unwrap_err();
    assert!(error.to_string().contains("AWS_ACCESS_KEY_ID is not"));
    assert!(!error.to_string().contains("hidden"));
}

#[test]
fn a_profile_that_cannot_serve_says_why() {
    let home = Home::new("profile");
    let text =
        "[profile role]\nrole_arn = arn:x\nsource_profile = default\n[profile bare]\nregion=x\n";
    home.write(".aws/config", text);
    for (profile, word) in [
        ("none", "neither"),
        ("role", "role_arn"),
        ("bare", "no keys"),
    ] {
        let error = home.find(&[("AWS_PROFILE", profile)]).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn nobody_signs_in_the_place_of_a_role() {
    let home = Home::new("role");
    let keys = "aws_access_key_id=user\naws_secret_access_key=s\n";
    home.write(
        ".aws/credentials",
        &format!("[default]\n{keys}[self]\n{keys}"),
    );
    let role = "[profile self]\nrole_arn = arn:x\nsource_profile = self\n";
    home.write(".aws/config", role);
    let error = home.find(&[("AWS_PROFILE", "self")]).unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("role_arn") && said.contains("credential_process"),
        "{said}"
    );
    let token = [
        ("AWS_ROLE_ARN", "arn:x"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
    ];
    let said = home.find(&token).unwrap_err().to_string();
    assert!(
        said.contains("AWS_ROLE_ARN") && said.contains("credential_process"),
        "{said}"
    );
    // Who is named by an option, or by keys, is somebody else on purpose.
    let named = Credentials::find(&home.with(&token), Some("default")).unwrap();
    assert_eq!(id(&named), "user");
    let answer = r#"{"Version":1,"AccessKeyId":"role","SecretAccessKey":"s"}"#;
    home.write("get", &format!("echo '{answer}'"));
    let process = format!("credential_process = sh {}/get\n", home.0.display());
    home.write(".aws/config", &format!("{role}{process}"));
    let found = home.find(&[("AWS_PROFILE", "self")]).unwrap();
    assert_eq!(id(&found), "role");
}

#[test]
fn a_process_gives_keys_and_is_asked_again() {
    let home = Home::new("process");
    let script = format!(
        "#!/bin/sh\necho x >> {0}/calls\nprintf '{{\"Version\":1,\"AccessKeyId\":\"k%s\",\
         \"SecretAccessKey\":\"hidden\",\"SessionToken\":\"t\",\"Expiration\":\"2030-01-01T00:00:00Z\"}}' \
         $(wc -l < {0}/calls)\n",
        home.0.display()
    );
    home.write("get", &script);
    let command = format!(
        "[default]\ncredential_process = sh {}/get\n",
        home.0.display()
    );
    home.write(".aws/config", &command);
    let found = home.find(&[]).unwrap();
    let at = |time: &str| found.keys(time.parse().unwrap()).unwrap();
    assert_eq!(at("2029-01-01T00:00:00Z").id, "k1");
    assert_eq!(at("2029-12-31T23:58:00Z").id, "k2");
    assert_eq!(
        at("2029-01-01T00:00:00Z").token,
        Some(Secret("t".to_owned()))
    );
    let old = at("2029-01-01T00:00:00Z");
    assert!(found.renew(&old).unwrap());
    assert_eq!(at("2029-01-01T00:00:00Z").id, "k3");
    assert!(!format!("{found:?}").contains("hidden"));
    home.write(
        "get",
        "echo '{\"Version\":1,\"SecretAccessKey\":\"hidden\"'; exit 3",
    );
    let error = home.find(&[]).unwrap_err().to_string();
    assert!(
        error.contains("exit status: 3") && !error.contains("hidden"),
        "{error}"
    );
    home.write(
        "get",
        "echo '{\"Version\":1,\"SecretAccessKey\":\"hidden\"'",
    );
    let error = home.find(&[]).unwrap_err().to_string();
    assert!(
        error.contains("JSON") && !error.contains("hidden"),
        "{error}"
    );
}

/// Answers each connection once, from the request's first line and its headers.
fn service(answer: impl Fn(&str, &str) -> (u16, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut first, mut headers) = (String::new(), String::new());
            reader.read_line(&mut first).unwrap();
            while reader.read_line(&mut headers).unwrap() > 2 {}
            let (status, body) = answer(&first, &headers.to_lowercase());
            let head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: ");
            let text = format!("{head}{}\r\n\r\n{body}", body.len());
            reader.get_mut().write_all(text.as_bytes()).unwrap();
        }
    });
    at
}

const KEYS: &str = r#"{"AccessKeyId":"far","SecretAccessKey":"s","Token":"t","Expiration":"2030-01-01T00:00:00Z"}"#;

#[test]
fn an_instance_wants_a_session() {
    let at = service(|first, headers| match first.split(' ').nth(1).unwrap() {
        "/latest/api/token" if first.starts_with("PUT") => (200, "session".to_owned()),
        _ if !headers.contains("x-aws-ec2-metadata-token: session") => (401, String::new()),
        "/latest/meta-data/iam/security-credentials/" => (200, "role\n".to_owned()),
        "/latest/meta-data/iam/security-credentials/role" => (200, KEYS.to_owned()),
        _ => (404, String::new()),
    });
    let home = Home::new("instance");
    let found = home.find(&[
        ("AWS_EC2_METADATA_DISABLED", "false"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &at),
    ]);
    let found = found.unwrap();
    assert_eq!(found.source, "the instance's service");
    let keys = found.keys("2029-01-01T00:00:00Z".parse().unwrap()).unwrap();
    assert_eq!(
        (keys.id.as_str(), keys.token),
        ("far", Some(Secret("t".to_owned())))
    );
}

#[test]
fn a_container_wants_its_token() {
    let at = service(
        |_, headers| match headers.contains("authorization: from-file") {
            true => (200, KEYS.to_owned()),
            false => (403, String::new()),
        },
    );
    let home = Home::new("container");
    home.write("token", "from-file\n");
    let file = home.0.join("token");
    let uri = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &at[..]);
    let with = home.find(&[
        uri,
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            file.to_str().unwrap(),
        ),
    ]);
    assert_eq!(id(&with.unwrap()), "far");
    let without = home.find(&[uri]).unwrap_err().to_string();
    assert!(without.contains("403"), "{without}");
    let far = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.org/")];
    assert!(home.find(&far).is_err());
}
