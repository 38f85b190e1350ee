//! Text that a browser shows and does not obey.

use core::fmt::{self, Display, Write};

use crate::report::escape::Escaped;

/// Shows anything as text, between tags or in a quoted attribute.
pub(super) struct Html<T>(pub(super) T);

impl<T: Display> Display for Html<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'', '`']) {
            self.0.write_str(&rest[..at])?;
            self.0.write_str(match rest.as_bytes()[at] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                b'\'' => "&#39;",
                _ => "&#96;",
            })?;
            rest = &rest[at + 1..];
        }
        self.0.write_str(rest)
    }
}

/// A hostile name as text.
pub(super) fn name(name: &str) -> Html<Escaped<'_>> {
    Html(Escaped(name))
}

/// JSON that cannot end the element it stands in, nor open a comment.
pub(super) fn embedded(json: &str) -> String {
    let mut embedded = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => embedded.push_str("\\u003c"),
            '>' => embedded.push_str("\\u003e"),
            '&' => embedded.push_str("\\u0026"),
            '\u{2028}' => embedded.push_str("\\u2028"),
            '\u{2029}' => embedded.push_str("\\u2029"),
            _ => embedded.push(c),
        }
    }
    embedded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let shown = name("<a href='x' title=\"`\">&\u{202e}</a>\n").to_string();
        assert_eq!(
            shown,
            "&lt;a href=&#39;x&#39; title=&quot;&#96;&quot;&gt;&amp;\\u{202e}&lt;/a&gt;\\u{a}"
        );
    }

    #[test]
    fn json_means_the_same_and_ends_nothing() {
        let value = serde_json::json!({"</script><!--": "&\u{2028}\u{2029}\\<"});
        let text = embedded(&value.to_string());
        assert!(!text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
