//! Signatures of requests, AWS Signature Version 4, in their headers: an address stands in the logs of
//! servers and proxies, and must not be worth anything to who reads them. Knows messages and keys;
//! not what they are for.

use super::credentials::Keys;
use crate::digest::{Sha256, hmac_sha256};
use crate::text::hex;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rusty_s3::Method;
use url::Url;

/// What stands in a query as it is.
pub(super) const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// In the place of a body's SHA-256 where there is none. Such a body is protected by a checksum in
/// another header, which is signed as all of them are.
pub(super) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What is signed of a request.
pub(super) struct Message<'a> {
    pub(super) method: Method,
    /// Its query, if any, has been written by [`query`].
    pub(super) url: &'a Url,
    /// Names in lower case; without the one that says which host.
    pub(super) headers: &'a [(&'a str, String)],
    /// The SHA-256 of the body in hexadecimal digits, or [`UNSIGNED`].
    pub(super) payload: &'a str,
}

/// The headers to be sent with it: all that it was given, and those that prove who asks.
pub(super) fn signed<'a>(
    message: &Message<'a>,
    keys: &Keys,
    region: &str,
    now: Timestamp,
) -> Vec<(&'a str, String)> {
    let mut headers = message.headers.to_vec();
    headers.push(("x-amz-content-sha256", message.payload.to_owned()));
    headers.push(("x-amz-date", time(now)));
    if let Some(token) = &keys.token {
        headers.push(("x-amz-security-token", token.0.clone()));
    }
    let host = [("host", host(message.url))];
    let mut all = [&host[..], &headers].concat();
    all.sort();
    let canonical = canonical(message, &all);
    let scope = scope(region, now);
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope},SignedHeaders={},Signature={}",
        keys.id,
        names(&all),
        signature(&keys.secret.0, region, now, &canonical)
    );
    headers.push(("authorization", authorization));
    headers
}

/// The SHA-256 of a body, as [`Message::payload`].
pub(super) fn of_body(body: &[u8]) -> String {
    hex(&Sha256::of(body))
}

/// A query in the one form that can be signed: encoded, and then sorted.
pub(super) fn query(pairs: &[(&str, String)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, UNRESERVED).to_string();
    let encoded = pairs
        .iter()
        .map(|(name, value)| (encode(name), encode(value)));
    let mut encoded: Vec<_> = encoded.collect();
    encoded.sort();
    let words: Vec<String> = encoded.iter().map(|(n, v)| format!("{n}={v}")).collect();
    words.join("&")
}

/// The port that belongs to a scheme goes without saying.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn canonical(message: &Message<'_>, headers: &[(&str, String)]) -> String {
    let mut text = format!(
        "{}\n{}\n{}\n",
        message.method.to_str(),
        message.url.path(),
        message.url.query().unwrap_or_default()
    );
    for (name, value) in headers {
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        text.push_str(&format!("{name}:{}\n", words.join(" ")));
    }
    text + &format!("\n{}\n{}", names(headers), message.payload)
}

fn names(headers: &[(&str, String)]) -> String {
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    names.join(";")
}

fn time(now: Timestamp) -> String {
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn scope(region: &str, now: Timestamp) -> String {
    format!("{}/{region}/s3/aws4_request", now.strftime("%Y%m%d"))
}

fn signature(secret: &str, region: &str, now: Timestamp, canonical: &str) -> String {
    let text = format!(
        "{ALGORITHM}\n{}\n{}\n{}",
        time(now),
        scope(region, now),
        of_body(canonical.as_bytes())
    );
    let first = format!("AWS4{secret}").into_bytes();
    let scope = scope(region, now);
    let key = scope
        .split('/')
        .fold(first, |key, word| hmac_sha256(&key, word.as_bytes()));
    hex(&hmac_sha256(&key, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::credentials::Secret;
    use super::*;

    const ID: &str = "AKIAIOSFODNN7EXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn keys(token: Option<&str>) -> Keys {
        Keys {
            id: ID.to_owned(),
            secret: Secret(SECRET.to_owned()),
            token: token.map(|token| Secret(token.to_owned())),
            expires: None,
        }
    }

    fn value<'a>(headers: &'a [(&str, String)], name: &str) -> &'a str {
        let mut found = headers.iter().filter(|(n, _)| *n == name);
        let value = &found.next().unwrap().1;
        assert!(found.next().is_none());
        value
    }

    /// The examples of "Signature Calculations for the Authorization Header" in AWS's manual.
    #[test]
    fn the_published_vectors() {
        let now = "2013-05-24T00:00:00Z".parse().unwrap();
        let header = |name, value: &str| (name, value.to_owned());
        let none = of_body(b"");
        assert!(none.starts_with("e3b0c442") && none.ends_with("7852b855"));
        let check = |method,
                     path: &str,
                     headers: &[(&str, String)],
                     payload: &str,
                     names: &str,
                     signature: &str| {
            let url = format!("https://examplebucket.s3.amazonaws.com/{path}");
            let url = Url::parse(&url).unwrap();
            let message = Message {
                method,
                url: &url,
                headers,
                payload,
            };
            let headers = signed(&message, &keys(None), "us-east-1", now);
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential={ID}/20130524/us-east-1/s3/aws4_request,SignedHeaders={names},Signature={signature}"
            );
            assert_eq!(value(&headers, "authorization"), expected, "{path}");
        };
        check(
            Method::Get,
            "test.txt",
            &[header("range", "bytes=0-9")],
            &none,
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        );
        check(
            Method::Put,
            "test%24file.text",
            &[
                header("date", "Fri, 24 May 2013 00:00:00 GMT"),
                header("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            &of_body(b"Welcome to Amazon S3."),
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        );
        let names = "host;x-amz-content-sha256;x-amz-date";
        check(
            Method::Get,
            "?lifecycle=",
            &[],
            &none,
            names,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        );
        check(
            Method::Get,
            "?max-keys=2&prefix=J",
            &[],
            &none,
            names,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        );
    }

    /// The crate that makes our addresses signs them only, by the same canonical pieces: given its
    /// query and its headers, we must come to its signature.
    #[test]
    fn the_same_signature_as_in_an_address() {
        let now: Timestamp = "2026-11-29T23:59:59Z".parse().unwrap();
        type Pairs = &'static [(&'static str, &'static str)];
        let cases: &[(Method, &str, &str, Pairs, Pairs)] = &[
            (
                Method::Get,
                "https://b.s3.eu-west-1.amazonaws.com/",
                "",
                &[("list-type", "2"), ("prefix", "a b/ü+&=%~*'()")],
                &[],
            ),
            (
                Method::Put,
                "http://127.0.0.1:9000/",
                "a b/\u{e9}+%&=:@!$'()*,;.bin",
                &[("partNumber", "7"), ("uploadId", "x/y+z==")],
                &[("content-md5", "q  w=="), ("x-amz-meta-path", " a   b ")],
            ),
            (
                Method::Delete,
                "http://[::1]:80/",
                "~.-_",
                &[("uploadId", "")],
                &[],
            ),
            (
                Method::Head,
                "https://h:443/p/",
                "k",
                &[],
                &[("range", "bytes=0-9")],
            ),
        ];
        for (method, base, key, more, headers) in cases {
            let style = rusty_s3::UrlStyle::Path;
            let bucket =
                rusty_s3::Bucket::new(Url::parse(base).unwrap(), style, "b", "r-1").unwrap();
            let url = bucket.object_url(key);
            let presigned = rusty_s3::signing::sign(
                &now,
                *method,
                url,
                ID,
                SECRET,
                Some("tok/en+="),
                "r-1",
                120,
                more.iter().copied(),
                headers.iter().copied(),
            );
            let pairs: Vec<(String, String)> = presigned.query_pairs().into_owned().collect();
            let (last, pairs) = pairs.split_last().unwrap();
            assert_eq!(last.0, "X-Amz-Signature");
            let pairs: Vec<(&str, String)> =
                pairs.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
            let mut url = presigned.clone();
            url.set_query(Some(&query(&pairs)));
            let headers: Vec<(&str, String)> =
                headers.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
            let mut all = [&[("host", host(&url))][..], &headers].concat();
            all.sort();
            let message = Message {
                method: *method,
                url: &url,
                headers: &headers,
                payload: UNSIGNED,
            };
            let ours = signature(SECRET, "r-1", now, &canonical(&message, &all));
            assert_eq!(ours, last.1, "{presigned}");
        }
    }

    #[test]
    fn a_token_is_signed_and_all_headers_are() {
        let url = Url::parse("https://b.example/k").unwrap();
        let given = [("x-amz-checksum-crc32c", "AAAAAA==".to_owned())];
        let message = Message {
            method: Method::Put,
            url: &url,
            headers: &given,
            payload: UNSIGNED,
        };
        let headers = signed(&message, &keys(Some("token")), "r", Timestamp::UNIX_EPOCH);
        let names = "SignedHeaders=host;x-amz-checksum-crc32c;x-amz-content-sha256;x-amz-date;x-amz-security-token,";
        assert!(value(&headers, "authorization").contains(names));
        assert_eq!(value(&headers, "x-amz-content-sha256"), UNSIGNED);
        assert_eq!(value(&headers, "x-amz-security-token"), "token");
    }
}
