//! Stores' answers in XML: pure.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

/// An element that has ended and has no elements in it, or whose elements were all told before.
pub(crate) struct Element<'a> {
    /// The names from the root to it, joined by slashes.
    pub(crate) path: &'a str,
    /// Its text; empty where it has elements.
    pub(crate) text: &'a str,
    /// The text is marked as percent-encoded.
    pub(crate) is_encoded: bool,
}

/// Tells every element in the order in which they end. Nothing is kept of an answer but what is told: a listing is read in the
/// time that its bytes take.
///
/// # Errors
/// What `ended` says, or why the text is no whole XML.
pub(crate) fn each_element(
    xml: &[u8],
    mut ended: impl FnMut(&Element<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let xml = std::str::from_utf8(xml).map_err(|_| "the answer is not UTF-8".to_owned())?;
    let invalid = |error: &dyn std::fmt::Display| format!("the answer is no XML: {error}");
    let mut reader = Reader::from_str(xml.trim_start_matches('\u{feff}'));
    // Where the name of each open element begins in the path.
    let (mut path, mut open) = (String::new(), Vec::new());
    let (mut text, mut is_encoded, mut is_empty) = (String::new(), false, true);
    loop {
        match reader.read_event().map_err(|error| invalid(&error))? {
            Event::Start(start) => {
                enter(&mut path, &mut open, &start);
                text.clear();
                (is_encoded, is_empty) = (is_marked(&start), false);
            }
            Event::Empty(start) => {
                enter(&mut path, &mut open, &start);
                is_empty = false;
                ended(&Element { path: &path, text: "", is_encoded: false })?;
                leave(&mut path, &mut open);
                text.clear();
            }
            Event::End(_) => {
                ended(&Element { path: &path, text: &text, is_encoded })?;
                leave(&mut path, &mut open);
                text.clear();
            }
            Event::Text(part) => text.push_str(&part.xml10_content()),
            Event::CData(part) => text.push_str(&part.xml10_content()),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().map_err(|error| invalid(&error))? {
                Some(character) => text.push(character),
                None => {
                    text.push_str(resolve_predefined_entity(&reference).ok_or_else(|| invalid(&"an unknown entity"))?);
                }
            },
            Event::Eof => break,
            _ => {}
        }
    }
    if open.is_empty() && !is_empty { Ok(()) } else { Err(invalid(&"it ends early")) }
}

/// Code and message of the error that S3 and Azure answer with. What is no such XML, such as a proxy's page, has neither.
pub(crate) fn error_in(body: &[u8]) -> (String, String) {
    let (mut code, mut message) = (String::new(), String::new());
    let outcome = each_element(body, |element| {
        match element.path {
            "Error/Code" => element.text.clone_into(&mut code),
            "Error/Message" => element.text.clone_into(&mut message),
            _ => {}
        }
        Ok(())
    });
    if outcome.is_ok() { (code, message) } else { Default::default() }
}

fn enter(path: &mut String, open: &mut Vec<usize>, start: &BytesStart<'_>) {
    open.push(path.len());
    if !path.is_empty() {
        path.push('/');
    }
    path.push_str(start.name().as_ref());
}

fn leave(path: &mut String, open: &mut Vec<usize>) {
    path.truncate(open.pop().unwrap_or_default());
}

fn is_marked(start: &BytesStart<'_>) -> bool {
    // Few elements have attributes, and looking for one costs as much as the element.
    let has_attributes = !start.attributes_raw().is_empty();
    let encoded = has_attributes.then(|| start.try_get_attribute("Encoded").ok().flatten()).flatten();
    encoded.is_some_and(|value| value.value.as_ref() == "true")
}

#[cfg(test)]
mod tests {
    use super::{each_element, error_in};

    fn told(xml: &str) -> Result<Vec<(String, String)>, String> {
        let mut told = Vec::new();
        each_element(xml.as_bytes(), |element| {
            told.push((element.path.to_owned(), element.text.to_owned()));
            Ok(())
        })?;
        Ok(told)
    }

    #[test]
    fn elements_are_told_as_they_end() {
        let wanted = [("a/b", "x&y"), ("a/c", ""), ("a/d/e", " 1 "), ("a/d", ""), ("a", "")];
        let wanted = wanted.map(|(path, text)| (path.to_owned(), text.to_owned()));
        let xml = "\u{feff}<?xml version=\"1.0\"?>\n<a xmlns=\"u\">\n <b>x&amp;&#121;</b><c/> <d><e> 1 </e></d></a>\n";
        assert_eq!(told(xml).unwrap(), wanted);
    }

    #[test]
    fn an_error_is_told_only_by_what_is_one() {
        let error = error_in(b"<Error><Code>SlowDown</Code><Message>Please</Message></Error>");
        assert_eq!(error, ("SlowDown".to_owned(), "Please".to_owned()));
        assert_eq!(error_in(b"<html><p>"), Default::default());
    }

    #[test]
    fn what_is_no_whole_xml_is_an_error() {
        for wrong in ["", "  ", "text", "<a>", "<a><b></a>", "<a>&nothing;</a>"] {
            assert!(told(wrong).is_err(), "{wrong:?}");
        }
    }
}
