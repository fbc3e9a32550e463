//! JSON that others wrote, read only where it has no more values than was agreed on: a value of two bytes can take
//! fifty bytes of memory. Knows no meaning.

use serde::de::{DeserializeOwned, Error};

/// Reads a text that has at most so many values, names of members not counted.
///
/// # Errors
/// If it has more, or is not what is read.
pub fn read<T: DeserializeOwned>(text: &[u8], most: usize) -> serde_json::Result<T> {
    match values(text) > most {
        true => Err(Error::custom(format!("it has more than {most} values"))),
        false => serde_json::from_slice(text),
    }
}

/// As many values as a text can have: it is counted what stands before each, and nothing is kept.
fn values(text: &[u8]) -> usize {
    let (mut count, mut quoted, mut escaped) = (1, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b',' | b'[' | b'{' if !quoted => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// Values as a parser counts them.
    fn count(value: &Value) -> usize {
        match value {
            Value::Array(all) => 1 + all.iter().map(count).sum::<usize>(),
            Value::Object(all) => 1 + all.values().map(count).sum::<usize>(),
            _ => 1,
        }
    }

    #[test]
    fn no_value_is_missed() {
        for text in [
            "1",
            "[]",
            "{}",
            "[1,2,[3,{}],\"a,b[{\"]",
            r#"{"a\",[\\":"\\","b":[null,true,{"c":[[[]]]}]}"#,
            r#"["\"",",\\\"[","\\"]"#,
        ] {
            let known = count(&text.parse().unwrap());
            let counted = values(text.as_bytes());
            // Of an empty list or object one is counted that is not there.
            let empty = text.matches("[]").count() + text.matches("{}").count();
            assert!((known..=known + empty + 1).contains(&counted), "{text}");
        }
    }

    #[test]
    fn more_than_agreed_on_is_refused_before_it_is_read() {
        let zeros = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        let read = |text: &str| read::<Vec<u8>>(text.as_bytes(), 100);
        assert_eq!(read(&zeros(98)).unwrap().len(), 98);
        // What follows is no JSON, and nobody came as far.
        let long = zeros(100).replace(']', "!");
        assert!(read(&long).unwrap_err().to_string().contains("100 values"));
        assert!(read(&"[".repeat(101)).is_err());
        assert!(read(&format!("[{}]", "[],".repeat(100))).is_err());
    }
}
