//! Azure's answers as flat text: pure.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

/// What an element has: the names from the root to it, its text, and whether the text is marked as percent-encoded.
pub(super) struct Element {
    pub(super) path: String,
    pub(super) text: String,
    pub(super) is_encoded: bool,
}

/// Every element in the order in which they end; the error says why the text is no whole XML.
pub(super) fn elements(xml: &[u8]) -> Result<Vec<Element>, String> {
    let xml = std::str::from_utf8(xml).map_err(|_| "the answer is not UTF-8".to_owned())?;
    let invalid = |error: &dyn std::fmt::Display| format!("the answer is no XML: {error}");
    let mut reader = Reader::from_str(xml.trim_start_matches('\u{feff}'));
    let (mut open, mut closed): (Vec<Element>, Vec<Element>) = (Vec::new(), Vec::new());
    loop {
        let event = reader.read_event().map_err(|error| invalid(&error))?;
        let mut text = |text: &str| open.last_mut().into_iter().for_each(|element| element.text.push_str(text));
        match event {
            Event::Start(start) => {
                let element = begin(&open, &start);
                open.push(element);
            }
            Event::Empty(start) => closed.push(begin(&open, &start)),
            Event::End(_) => closed.extend(open.pop()),
            Event::Text(part) => text(&part.xml10_content()),
            Event::CData(part) => text(&part.xml10_content()),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().map_err(|error| invalid(&error))? {
                Some(character) => text(character.encode_utf8(&mut [0; 4])),
                None => text(resolve_predefined_entity(&reference).ok_or_else(|| invalid(&"an unknown entity"))?),
            },
            Event::Eof => break,
            _ => {}
        }
    }
    if open.is_empty() && !closed.is_empty() { Ok(closed) } else { Err(invalid(&"it ends early")) }
}

fn begin(open: &[Element], start: &quick_xml::events::BytesStart<'_>) -> Element {
    let name = start.name().as_ref().to_owned();
    let path = open.last().map_or_else(|| name.clone(), |outer| format!("{}/{name}", outer.path));
    let encoded = start.try_get_attribute("Encoded").ok().flatten();
    Element { path, text: String::new(), is_encoded: encoded.is_some_and(|value| value.value.as_ref() == "true") }
}
