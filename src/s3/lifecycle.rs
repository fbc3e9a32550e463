//! What a bucket does by itself with what is in it: the versions that it keeps, and the rules by which
//! it deletes and moves objects. Changes nothing; what that means for whom is decided elsewhere.

use super::xml::Node;
use super::{Client, S3Request};
use crate::error::Result;
use crate::prices::freezes;
use crate::text::{counted, shown};
use rusty_s3::Method;
use std::fmt;

/// A lifecycle rule that is in force, and matters to who keeps things.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// The name of the rule.
    pub id: String,
    /// How the keys of what it is for begin.
    pub prefix: String,
    /// Bytes that an object must exceed for it to be for it.
    pub over: u64,
    /// What the rule does.
    pub does: RuleAction,
}

/// What a rule does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RuleAction {
    /// Deletes objects, and when.
    Delete(String),
    /// Moves objects to a class from which they must be thawed, and when.
    Freeze(String, String),
    /// Removes uploads that are not finished after so many days.
    Abort(u64),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, prefix) = (shown(&self.id), shown(&self.prefix));
        let of = match prefix.is_empty() {
            true => "everything".to_owned(),
            false => format!("what begins with {prefix}"),
        };
        write!(f, "the bucket's rule '{id}' ")?;
        match &self.does {
            RuleAction::Delete(when) => write!(f, "deletes {of} {when}"),
            RuleAction::Freeze(class, when) => write!(f, "moves {of} to {} {when}", shown(class)),
            RuleAction::Abort(days) => write!(f, "removes uploads after {}", counted(*days, "day")),
        }
    }
}

impl Client {
    /// Whether what is deleted stays as an older version.
    ///
    /// # Errors
    /// If the service does not tell.
    pub fn keeps_versions(&self) -> Result<bool> {
        let doing = ("ask for versions in", "s3:GetBucketVersioning");
        let mut request = S3Request::new(Method::Get, "", doing.0, doing.1);
        request.query = vec![("versioning", String::new())];
        let answer = self.document(request, "VersioningConfiguration")?;
        Ok(answer.text("Status") == "Enabled")
    }

    /// The rules for keys that begin so, or for some of them.
    ///
    /// # Errors
    /// If the service does not tell.
    pub fn rules(&self, prefix: &str) -> Result<Vec<Rule>> {
        let doing = ("ask for rules of", "s3:GetLifecycleConfiguration");
        let mut request = S3Request::new(Method::Get, "", doing.0, doing.1);
        request.query = vec![("lifecycle", String::new())];
        let answer = match self.document(request, "LifecycleConfiguration") {
            Err(error) if error.refusal() == "NoSuchLifecycleConfiguration" => {
                return Ok(Vec::new());
            }
            answer => answer?,
        };
        let all = answer.all("Rule").flat_map(rules);
        let near =
            |rule: &Rule| rule.prefix.starts_with(prefix) || prefix.starts_with(&rule.prefix);
        Ok(all.filter(near).collect())
    }
}

/// What one rule of the service's does. Those for tags are not for objects of ours, which have none.
fn rules(node: &Node) -> Vec<Rule> {
    let filter = node.child("Filter").unwrap_or(node);
    let filter = filter.child("And").unwrap_or(filter);
    if node.text("Status") != "Enabled" || filter.child("Tag").is_some() {
        return Vec::new();
    }
    let when = |node: &Node| match node.number("Days") {
        Some(days) => format!("after {}", counted(days, "day")),
        None => format!("from {} on", node.text("Date")),
    };
    let timed = |node: &&Node| node.child("Days").or(node.child("Date")).is_some();
    let deletes = node.child("Expiration").filter(timed);
    let deletes = deletes.map(|node| RuleAction::Delete(when(node)));
    let moves = node.all("Transition").filter_map(|node| {
        let class = node.text("StorageClass");
        freezes(class).then(|| RuleAction::Freeze(class.to_owned(), when(node)))
    });
    let aborts = node.child("AbortIncompleteMultipartUpload");
    let aborts =
        aborts.and_then(|node| Some(RuleAction::Abort(node.number("DaysAfterInitiation")?)));
    let all = deletes.into_iter().chain(moves).chain(aborts);
    all.map(|does| Rule {
        id: node.text("ID").to_owned(),
        prefix: filter.exact("Prefix").to_owned(),
        over: filter.number("ObjectSizeGreaterThan").unwrap_or(0),
        does,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(rule: &str) -> Vec<String> {
        let text = format!("<Rule><ID>r</ID>{rule}</Rule>");
        let node = Node::parse(&text).unwrap();
        rules(&node).iter().map(Rule::to_string).collect()
    }

    #[test]
    fn rules_in_all_their_shapes() {
        let on = "<Status>Enabled</Status>";
        let expires = "<Expiration><Days>30</Days></Expiration>";
        let deletes = ["the bucket's rule 'r' deletes what begins with a/ after 30 days"];
        for prefix in [
            "<Prefix>a/</Prefix>",
            "<Filter><Prefix>a/</Prefix></Filter>",
            "<Filter><And><Prefix>a/</Prefix></And></Filter>",
        ] {
            assert_eq!(said(&format!("{on}{prefix}{expires}")), deletes);
        }
        let tagged = "<Filter><Tag><Key>k</Key></Tag></Filter>";
        assert!(said(&format!("{on}{tagged}{expires}")).is_empty());
        assert!(said(&format!("<Status>Disabled</Status>{expires}")).is_empty());
        let marker =
            "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>";
        assert!(said(&format!("{on}{marker}")).is_empty());
        let cold = "<Transition><Days>0</Days><StorageClass>GLACIER</StorageClass></Transition>\
                    <Transition><Days>9</Days><StorageClass>STANDARD_IA</StorageClass></Transition>\
                    <AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation>\
                    </AbortIncompleteMultipartUpload>";
        let all = said(&format!("{on}{cold}"));
        assert_eq!(all.len(), 2);
        assert!(all[0].ends_with("moves everything to GLACIER after 0 days"));
        assert!(all[1].ends_with("removes uploads after 7 days"));
    }
}
