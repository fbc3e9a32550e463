//! Where a bucket is: endpoint, region and the form of its URLs; and how connections to it are made.

use super::S3Options;
use super::config::{Environment, Profile};
use super::quirks::Quirks;
use crate::error::{Doing, Error, Result};
use crate::sys::secure_open;
use crate::text::shown;
use rusty_s3::{Bucket, UrlStyle};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Proxy, ProxyProtocol};
use url::Url;

/// A bucket's address, which a redirect to another region may change.
#[derive(Clone, Debug)]
pub(crate) struct BucketAddress {
    pub(crate) bucket: Bucket,
    pub(crate) quirks: Quirks,
    /// Which of AWS's endpoints it is, if it is the one that follows from the region.
    of_aws: Option<Variant>,
}

/// Which endpoints of AWS are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Variant {
    /// Those that have IPv6 addresses too.
    dualstack: bool,
    /// Those whose cryptography is validated by FIPS 140.
    fips: bool,
}

impl Variant {
    fn wanted(options: &S3Options, profile: &Profile) -> Variant {
        let is_set = |variable: &str, setting: &str| {
            let variable = options.environment.get(variable);
            let value = variable.or_else(|| profile.for_s3(setting).map(str::to_owned));
            let value = value.or_else(|| profile.get(setting).map(str::to_owned));
            value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
        };
        Variant {
            dualstack: is_set("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint"),
            fips: is_set("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint"),
        }
    }

    /// An endpoint that somebody names says all there is to say.
    fn must_be_usual(self) -> Result<()> {
        let what = match self {
            Variant { fips: true, .. } => "use_fips_endpoint (AWS_USE_FIPS_ENDPOINT)",
            Variant {
                dualstack: true, ..
            } => "use_dualstack_endpoint (AWS_USE_DUALSTACK_ENDPOINT)",
            _ => return Ok(()),
        };
        let said = format!("{what} is set too, which only AWS's own endpoints can follow");
        Err(Error::usage("cannot use the endpoint URL", said))
    }
}

impl BucketAddress {
    /// From the options, the environment and the profile, in this order.
    pub(crate) fn find(
        bucket: &str,
        options: &S3Options,
        profile: &Profile,
    ) -> Result<BucketAddress> {
        let endpoint = endpoint(options, profile)?;
        let quirks = match &endpoint {
            Some(url) => Quirks::of_host(url.host_str().unwrap_or_default()),
            None => Quirks::of_host("s3.amazonaws.com"),
        };
        let quirks = quirks.adjusted(options.quirks.as_deref().unwrap_or_default())?;
        let region = region(options, profile).unwrap_or_else(|| match quirks.region {
            "" => "us-east-1".to_owned(), // where a bucket elsewhere is pointed out
            region => region.to_owned(),
        });
        let variant = Variant::wanted(options, profile);
        let (url, of_aws) = match endpoint {
            Some(url) => (variant.must_be_usual().map(|()| url)?, None),
            None => (of_region(&region, variant)?, Some(variant)),
        };
        Ok(BucketAddress {
            bucket: address(url, bucket, &region, &quirks)?,
            quirks,
            of_aws,
        })
    }

    /// The same bucket, when an answer says what serves it; `None` if that changes nothing.
    pub(crate) fn served_by(&self, server: &str, options: &S3Options) -> Option<BucketAddress> {
        let known = Quirks::of_server(server).filter(|_| self.quirks.is_generic())?;
        let words = options.quirks.as_deref().unwrap_or_default();
        let quirks = known.adjusted(words).ok()?;
        (quirks != self.quirks).then(|| BucketAddress {
            quirks,
            ..self.clone()
        })
    }

    /// The same bucket in another region; `None` if it is said to be in the one we ask already.
    pub(crate) fn moved(&self, region: &str) -> Option<BucketAddress> {
        let known = region
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !known || region.is_empty() || region == self.bucket.region() {
            return None;
        }
        let url = match self.of_aws {
            Some(variant) => of_region(region, variant).ok()?,
            None => endpoint_of(&self.bucket),
        };
        Some(BucketAddress {
            bucket: address(url, self.bucket.name(), region, &self.quirks).ok()?,
            ..self.clone()
        })
    }

    /// The address, for people.
    pub(crate) fn shown(&self) -> String {
        let url = self.bucket.base_url();
        format!(
            "{} in region {}",
            url.origin().ascii_serialization(),
            self.bucket.region()
        )
    }
}

/// The endpoint that an address was made from. Only path style can have been used with it when
/// the region does not say where it is, or the host would name the bucket.
fn endpoint_of(bucket: &Bucket) -> Url {
    let mut url = bucket.base_url().clone();
    let host = url.host_str().unwrap_or_default().to_owned();
    match host.strip_prefix(&format!("{}.", bucket.name())) {
        // Taking a label off a host leaves a host.
        Some(rest) => drop(url.set_host(Some(rest))),
        None => {
            let path = url.path().trim_end_matches('/');
            let path = path.strip_suffix(bucket.name()).unwrap_or(path).to_owned();
            url.set_path(&path);
        }
    }
    url
}

fn endpoint(options: &S3Options, profile: &Profile) -> Result<Option<Url>> {
    let get = |name: &str| options.environment.get(name);
    let set = |name: &str| profile.get(name).map(str::to_owned);
    let ignored = get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    let ignored = ignored.or_else(|| set("ignore_configured_endpoint_urls"));
    let configured = || {
        get("AWS_ENDPOINT_URL_S3")
            .or_else(|| get("AWS_ENDPOINT_URL"))
            .or_else(|| profile.for_s3("endpoint_url").map(str::to_owned))
            .or_else(|| set("endpoint_url"))
            .filter(|_| !ignored.is_some_and(|value| value.eq_ignore_ascii_case("true")))
    };
    let Some(text) = options.endpoint_url.clone().or_else(configured) else {
        return Ok(None);
    };
    // The text is not repeated: it may hold a password.
    let wrong = |said: &str| Error::usage("cannot use the endpoint URL", said);
    if !text.contains("://") {
        let way = "put https:// before it, or http:// where nothing is to be encrypted";
        return Err(wrong("it has no scheme").hint(way));
    }
    let url = Url::parse(&text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong(
            "it must begin with https:// or http:// and name a host",
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "it holds a user name or a password; give credentials as AWS's tools take them",
        ));
    }
    Ok(Some(url))
}

fn region(options: &S3Options, profile: &Profile) -> Option<String> {
    let get = |name: &str| options.environment.get(name);
    options
        .region
        .clone()
        .or_else(|| get("AWS_REGION"))
        .or_else(|| get("AWS_DEFAULT_REGION"))
        .or_else(|| profile.get("region").map(str::to_owned))
}

fn of_region(region: &str, variant: Variant) -> Result<Url> {
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    let fips = if variant.fips { "-fips" } else { "" };
    let dualstack = if variant.dualstack { ".dualstack" } else { "" };
    let text = format!("https://s3{fips}{dualstack}.{region}.amazonaws.com{china}");
    let wrong = |error: url::ParseError| {
        let doing = format!("cannot use the region '{}'", region.escape_default());
        Error::usage(doing, error.to_string())
    };
    Url::parse(&text).map_err(wrong)
}

/// A bucket with dots in its name has no certificate for a host name of its own.
fn address(url: Url, bucket: &str, region: &str, quirks: &Quirks) -> Result<Bucket> {
    let style = match quirks.path_style || bucket.contains('.') {
        true => UrlStyle::Path,
        false => UrlStyle::VirtualHost,
    };
    let wrong = |said: String| {
        let doing = format!("cannot use the bucket '{}'", bucket.escape_default());
        Error::usage(doing, said)
    };
    let bad = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    if bucket.is_empty() || bucket.contains(bad) || bucket.starts_with('.') {
        return Err(wrong(
            "a bucket's name has letters, digits, dots and hyphens".to_owned(),
        ));
    }
    Bucket::new(url, style, bucket.to_owned(), region.to_owned())
        .map_err(|error| wrong(error.to_string()))
}

/// Connections that are kept for reuse, with a limit on silence and none on the whole: a part may
/// take its time on a slow line, as long as it comes. Proxies come from the environment.
pub(crate) fn agent(options: &S3Options, profile: &Profile) -> Result<Agent> {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("buttersink/", env!("CARGO_PKG_VERSION")))
        .max_idle_connections(options.concurrency.most + 2)
        .max_idle_connections_per_host(options.concurrency.most + 2)
        .timeout_resolve(Some(options.silence))
        .timeout_connect(Some(options.silence.min(Duration::from_secs(20))))
        .timeout_per_read(Some(options.silence))
        .timeout_per_write(Some(options.silence));
    if let Some(path) = bundle(&options.environment, profile) {
        let roots = RootCerts::Specific(Arc::new(authorities(Path::new(&path))?));
        config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
    }
    Ok(config.build().new_agent())
}

/// The proxy on the way to a bucket, in words; empty if there is none.
pub(crate) fn on_the_way(agent: &Agent, place: &BucketAddress) -> String {
    proxy(agent, place).map_or(String::new(), |proxy| {
        format!(", by the proxy {}:{}", proxy.host(), proxy.port())
    })
}

/// A proxy that we cannot talk to is not passed over: it may be there for a reason.
pub(crate) fn check_proxy(agent: &Agent, place: &BucketAddress) -> Result<()> {
    let known =
        |proxy: &Proxy| matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
    match proxy(agent, place).filter(|proxy| !known(proxy)) {
        None => Ok(()),
        Some(proxy) => Err(Error::usage(
            format!("cannot use the proxy {}:{}", proxy.host(), proxy.port()),
            "its address does not begin with http:// (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY; NO_PROXY \
             names hosts that are reached without it)",
        )),
    }
}

fn proxy<'a>(agent: &'a Agent, place: &BucketAddress) -> Option<&'a Proxy> {
    let url = place.bucket.base_url().as_str().parse();
    let used = |proxy: &&Proxy| url.as_ref().is_ok_and(|url| !proxy.is_no_proxy(url));
    agent.config().proxy().filter(used)
}

fn bundle(environment: &Environment, profile: &Profile) -> Option<String> {
    let variable = environment.get("AWS_CA_BUNDLE");
    variable.or_else(|| profile.get("ca_bundle").map(str::to_owned))
}

/// The bundle's, and those that are trusted without one.
fn authorities(bundle: &Path) -> Result<Vec<Certificate<'static>>> {
    let mut all = certificates(bundle)?;
    let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    all.extend(built_in.map(|der| Certificate::from_der(der)));
    Ok(all)
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let doing = || format!("cannot read the CA bundle {}", shown(path));
    let text = secure_open::read_file(path, 16 << 20).doing(doing)?;
    let mut found = Vec::new();
    for item in ureq::tls::parse_pem(&text) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(Error::usage(doing(), error.to_string())),
        }
    }
    if found.is_empty() {
        return Err(Error::usage(doing(), "it has no certificate"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(
        bucket: &str,
        change: impl Fn(&mut S3Options),
        pairs: &[(&str, &str)],
    ) -> BucketAddress {
        let mut options = S3Options {
            environment: Environment::of(pairs),
            ..S3Options::default()
        };
        change(&mut options);
        BucketAddress::find(bucket, &options, &Profile::default()).unwrap()
    }

    #[test]
    fn aws_by_region() {
        let there = place("b", |_| {}, &[("AWS_REGION", "eu-west-1")]);
        assert_eq!(
            there.bucket.base_url().as_str(),
            "https://b.s3.eu-west-1.amazonaws.com/"
        );
        let moved = there.moved("cn-north-1").unwrap();
        assert_eq!(
            moved.bucket.base_url().as_str(),
            "https://b.s3.cn-north-1.amazonaws.com.cn/"
        );
        assert!(moved.moved("cn-north-1").is_none());
        assert!(moved.moved("x.example.org/").is_none());
        let dots = place("a.b", |_| {}, &[]);
        assert_eq!(
            dots.bucket.base_url().as_str(),
            "https://s3.us-east-1.amazonaws.com/a.b/"
        );
    }

    #[test]
    fn dualstack_and_fips_are_followed_or_refused() {
        let dualstack = ("AWS_USE_DUALSTACK_ENDPOINT", "true");
        let fips = ("AWS_USE_FIPS_ENDPOINT", "TRUE");
        let url = |pairs: &[(&str, &str)]| {
            let there = place("b", |_| {}, pairs);
            let there = there.moved("eu-west-1").unwrap();
            there.bucket.base_url().as_str().to_owned()
        };
        for (pairs, host) in [
            (&[dualstack][..], "s3.dualstack"),
            (&[fips], "s3-fips"),
            (&[dualstack, fips], "s3-fips.dualstack"),
            (&[("AWS_USE_FIPS_ENDPOINT", "false")], "s3"),
        ] {
            let expected = format!("https://b.{host}.eu-west-1.amazonaws.com/");
            assert_eq!(url(pairs), expected);
        }
        let options = S3Options {
            endpoint_url: Some("http://h".to_owned()),
            environment: Environment::of(&[fips]),
            ..S3Options::default()
        };
        let error = BucketAddress::find("b", &options, &Profile::default()).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(
            error.to_string().contains("AWS_USE_FIPS_ENDPOINT"),
            "{error}"
        );
    }

    #[test]
    fn custom_endpoints_are_path_style() {
        let variables = [
            ("AWS_ENDPOINT_URL", "http://other"),
            ("AWS_ENDPOINT_URL_S3", "http://h:9000/p"),
        ];
        let there = place("b", |_| {}, &variables);
        assert_eq!(there.bucket.base_url().as_str(), "http://h:9000/p/b/");
        assert_eq!(there.bucket.region(), "us-east-1");
        let ignored = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
        let aws = place("b", |_| {}, &[&variables[..], &[ignored]].concat());
        assert_eq!(aws.quirks.name, "aws");
        let moved = there.moved("r").unwrap();
        assert_eq!(moved.bucket.base_url().as_str(), "http://h:9000/p/b/");
        let option = |o: &mut S3Options| {
            o.endpoint_url = Some("https://option".to_owned());
            o.quirks = Some("virtual-style".to_owned());
        };
        let there = place("b", option, &variables);
        assert_eq!(there.bucket.base_url().as_str(), "https://b.option/");
        let moved = there.moved("r").unwrap();
        assert_eq!(moved.bucket.base_url().as_str(), "https://b.option/");
    }

    #[test]
    fn passwords_in_urls_are_refused_unseen() {
        for url in ["https://u:hidden@h/", "hidden", "ftp://hidden"] {
            let options = S3Options {
                endpoint_url: Some(url.to_owned()),
                environment: Environment::of(&[]),
                ..S3Options::default()
            };
            let error = BucketAddress::find("b", &options, &Profile::default()).unwrap_err();
            assert!(!error.to_string().contains("hidden"));
        }
    }
    #[test]
    fn a_bundle_adds_to_the_built_in_authorities() {
        let file = std::env::temp_dir().join(format!("buttersink-bundle-{}", std::process::id()));
        let pem = "-----BEGIN CERTIFICATE-----\nb3Vycw==\n-----END CERTIFICATE-----\n";
        std::fs::write(&file, pem).unwrap();
        let found = authorities(&file);
        std::fs::remove_file(&file).unwrap();
        let found = found.unwrap();
        let found: Vec<&[u8]> = found.iter().map(Certificate::der).collect();
        let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
        assert!(built_in.len() > 100 && found.len() == built_in.len() + 1);
        assert!(found.contains(&&b"ours"[..]));
        assert!(built_in.iter().all(|der| found.contains(&der.as_ref())));
    }
}
