//! Answers in XML as a small tree. Namespaces and prefixes are ignored, since services differ in
//! them. Knows nothing of what the elements mean.

use xmlparser::{ElementEnd, Token, Tokenizer};

/// An element: its name without prefix, its text, and the elements in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: String,
    text: String,
    children: Vec<Node>,
}

/// Nobody's answer is nested deeper; a hostile one must not exhaust the stack when dropped.
const DEPTH: usize = 32;
/// Nor is it longer, in bytes: a page of a thousand of the longest keys has two million.
pub(crate) const LONGEST: u64 = 16 << 20;
/// Nor has it more elements, each of which takes more memory than its text.
const ELEMENTS: usize = 200_000;

/// Why a text is no document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It is not well formed, as what was cut or damaged on its way.
    Malformed,
    /// It is longer, deeper or of more elements than anybody's answer.
    Excessive,
}

impl Node {
    /// The root element of a document.
    ///
    /// # Errors
    /// If it is not well formed, or larger than is good for us.
    pub(crate) fn read(text: &str) -> Result<Node, Flaw> {
        let mut elements = 0;
        Node::counted(text, &mut elements).ok_or(match elements > ELEMENTS {
            true => Flaw::Excessive,
            false => Flaw::Malformed,
        })
    }

    /// The root element of a document; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Node> {
        Node::read(text).ok()
    }

    /// Counts elements as it reads; where they are too many, or would be, in one or the other way, the
    /// count is beyond [`ELEMENTS`].
    fn counted(text: &str, elements: &mut usize) -> Option<Node> {
        let mut open = vec![Node::default()];
        if text.len() as u64 > LONGEST {
            *elements = usize::MAX;
            return None;
        }
        for token in Tokenizer::from(text) {
            let token = token.ok()?;
            match token {
                Token::ElementStart { local, .. } => open.push(Node {
                    name: local.as_str().to_owned(),
                    ..Node::default()
                }),
                Token::ElementEnd {
                    end: ElementEnd::Close(_, local),
                    ..
                } => close(&mut open, Some(local.as_str()))?,
                Token::ElementEnd {
                    end: ElementEnd::Empty,
                    ..
                } => close(&mut open, None)?,
                Token::Text { text } => open.last_mut()?.text.push_str(&unescaped(text.as_str())?),
                Token::Cdata { text, .. } => open.last_mut()?.text.push_str(text.as_str()),
                _ => {}
            }
            *elements += usize::from(matches!(token, Token::ElementStart { .. }));
            // The first of them is the document.
            if open.len() > DEPTH + 1 {
                *elements = usize::MAX;
            }
            if *elements > ELEMENTS {
                return None;
            }
        }
        let whole = open.pop().filter(|_| open.is_empty())?;
        whole.children.into_iter().next()
    }

    /// Bytes of the texts in it: at least as many as anybody keeps of it.
    pub(crate) fn bytes(&self) -> u64 {
        let texts = self.children.iter().map(|child| child.text.len() as u64);
        texts.sum()
    }

    /// The elements of this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Node> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The first element of this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first element of this name; empty if there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.child(name).map_or("", |child| child.text.trim())
    }

    /// The same without taking off blanks, for names that may begin or end with them.
    pub(crate) fn exact(&self, name: &str) -> &str {
        self.child(name).map_or("", |child| &child.text)
    }

    /// The number in the first element of this name.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name).parse().ok()
    }
}

fn close(open: &mut Vec<Node>, name: Option<&str>) -> Option<()> {
    let done = open.pop()?;
    if name.is_some_and(|name| name != done.name) {
        return None;
    }
    open.last_mut()?.children.push(done);
    Some(())
}

fn unescaped(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        let end = at + rest[at..].find(';')?;
        plain.push(entity(&rest[at + 1..end])?);
        rest = &rest[end + 1..];
    }
    plain.push_str(rest);
    Some(plain)
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let code = name.strip_prefix('#')?;
            char::from_u32(match code.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => code.parse().ok()?,
            })
        }
    }
}

/// Text as it stands between tags.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // A parser would make a space or nothing of these.
            c if c.is_control() => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_services_write() {
        let text = "<?xml version=\"1.0\"?>\n<s:List xmlns:s='u'><Key> a&amp;&#x41;&#66;</Key>\
                    <E/><Key><![CDATA[<b>]]></Key><Size> 12\n</Size></s:List>";
        let list = Node::parse(text).unwrap();
        assert_eq!(list.name, "List");
        assert_eq!(list.exact("Key"), " a&AB");
        assert_eq!(list.all("Key").nth(1).unwrap().text, "<b>");
        assert_eq!(list.number("Size"), Some(12));
        assert_eq!(list.text("None"), "");
    }

    #[test]
    fn refuses_what_is_not_whole() {
        for text in [
            "",
            "<a>",
            "<a></b>",
            "</a>",
            "<a>&bad;</a>",
            "<a>&</a>",
            "no",
        ] {
            assert_eq!(Node::parse(text), None, "{text}");
        }
        assert_eq!(Node::parse(&"<a>".repeat(100_000)), None);
        let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
        assert!(Node::parse(&nested(32)).is_some() && Node::parse(&nested(33)).is_none());
        let with = |inside: String| Node::parse(&format!("<a>{inside}</a>"));
        assert!(with("<b/>".repeat(199_999)).is_some());
        assert!(with("<b/>".repeat(200_000)).is_none());
        assert!(with("x".repeat((16 << 20) - 7)).is_some());
        assert!(with("x".repeat((16 << 20) - 6)).is_none());
    }

    #[test]
    fn escapes_and_back() {
        let text = "a<b>&\"\n\u{1}'";
        assert_eq!(unescaped(&escaped(text)).unwrap(), text);
    }
}
