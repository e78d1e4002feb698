//! The text format of metrics: Prometheus' (version 0.0.4) and OpenMetrics' (1.0), which differ little where it matters here.
//!
//! A parser of our own: of the published ones, one is under the LGPL, and the other takes no name with a colon, as vLLM's
//! and llama.cpp's are, takes labels apart at any comma, and passes over whatever it does not understand.

use std::borrow::Cow;

/// Why a pod's metrics could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The body is no text.
    #[error("the body is not UTF-8")]
    NotText,
    /// A line that is no metric's.
    #[error("line {0} is neither a comment nor a metric")]
    NoSample(usize),
    /// A line of a metric that is asked for has labels that end nowhere or are no labels.
    #[error("line {0}: the labels are not well formed")]
    Labels(usize),
    /// A line of a metric that is asked for has no number.
    #[error("line {0}: the value is not a number")]
    Value(usize),
    /// A line of a metric that is asked for has something behind its value that is neither a time nor an exemplar.
    #[error("line {0}: what follows the value is neither a time nor an exemplar")]
    AfterValue(usize),
    /// Something follows the end that OpenMetrics marks.
    #[error("line {0} is behind # EOF")]
    BehindEnd(usize),
    /// More series than a report keeps.
    #[error("the metrics that are asked for have more than {0} series")]
    TooManySeries(usize),
}

/// Labels by name, in the order they are written.
pub(super) type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// One line.
#[derive(Debug, PartialEq)]
pub(super) struct Sample<'a> {
    pub(super) name: &'a str,
    /// The labels as they are written, which tells the series of one name apart.
    pub(super) series: &'a str,
    pub(super) labels: Labels<'a>,
    pub(super) value: f64,
}

/// The samples whose name is wanted. Of the others only the name is looked at: what a program writes of something else is
/// no reason to know nothing of its load.
pub(super) fn samples(body: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<Sample<'_>>, Unreadable> {
    let mut found = Vec::new();
    let mut ended = false;
    for (number, line) in (1..).zip(body.lines()) {
        let line = line.trim_matches([' ', '\t']);
        if line.is_empty() {
            continue;
        }
        if ended {
            return Err(Unreadable::BehindEnd(number));
        }
        if line.starts_with('#') {
            ended = line == "# EOF";
            continue;
        }
        // A name in quotes, within the braces, is one that no name here can be.
        if line.starts_with('{') {
            continue;
        }
        let (name, rest) =
            name(line).filter(|(_, rest)| rest.starts_with(['{', ' ', '\t'])).ok_or(Unreadable::NoSample(number))?;
        if wanted(name) {
            found.push(sample(name, rest.trim_start_matches([' ', '\t']), number)?);
        }
    }
    Ok(found)
}

fn sample<'a>(name: &'a str, text: &'a str, number: usize) -> Result<Sample<'a>, Unreadable> {
    let (labels, rest) = match text.strip_prefix('{') {
        Some(inner) => labels(inner).ok_or(Unreadable::Labels(number))?,
        None => (Labels::new(), text),
    };
    let series = &text[..text.len() - rest.len()];
    let (value, rest) = token(rest);
    let value = value.parse().map_err(|_| Unreadable::Value(number))?;
    if is_time_or_exemplar(rest) {
        Ok(Sample { name, series, labels, value })
    } else {
        Err(Unreadable::AfterValue(number))
    }
}

fn is_time_or_exemplar(rest: &str) -> bool {
    let is_exemplar = |text: &str| text.is_empty() || text.starts_with("# {");
    let (time, behind) = token(rest);
    is_exemplar(rest) || (time.parse::<f64>().is_ok() && is_exemplar(behind))
}

/// The next word and what follows the blanks behind it.
fn token(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches([' ', '\t']);
    let (word, rest) = text.split_at(text.find([' ', '\t']).unwrap_or(text.len()));
    (word, rest.trim_start_matches([' ', '\t']))
}

/// A metric's name and what follows.
pub(super) fn name(text: &str) -> Option<(&str, &str)> {
    identifier(text, |character| character == ':')
}

fn identifier(text: &str, also: impl Fn(char) -> bool) -> Option<(&str, &str)> {
    let belongs = |character: char| character.is_ascii_alphanumeric() || character == '_' || also(character);
    let end = text.find(|character| !belongs(character)).unwrap_or(text.len());
    let starts_well = text.starts_with(|character: char| !character.is_ascii_digit());
    (end > 0 && starts_well).then(|| text.split_at(end))
}

/// The labels behind an opening brace, and what follows the closing one.
pub(super) fn labels(text: &str) -> Option<(Labels<'_>, &str)> {
    let mut all = Labels::new();
    let mut rest = text.trim_start_matches([' ', '\t']);
    loop {
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((all, behind));
        }
        let (name, behind) = identifier(rest, |_| false)?;
        let quoted = behind.trim_start_matches([' ', '\t']).strip_prefix('=')?;
        let (value, behind) = label_value(quoted.trim_start_matches([' ', '\t']).strip_prefix('"')?)?;
        all.push((name, value));
        let behind = behind.trim_start_matches([' ', '\t']);
        rest = match behind.strip_prefix(',') {
            Some(next) => next.trim_start_matches([' ', '\t']),
            None if behind.starts_with('}') => behind,
            None => return None,
        };
    }
}

/// A label's value behind its opening quote, and what follows the closing one.
fn label_value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    if text[end..].starts_with('"') {
        return Some((Cow::Borrowed(&text[..end]), &text[end + 1..]));
    }
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((Cow::Owned(value), &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                escaped @ ('"' | '\\') => escaped,
                _ => return None,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(body: &str) -> Result<Vec<f64>, Unreadable> {
        Ok(samples(body, |name| name == "m")?.into_iter().map(|sample| sample.value).collect())
    }

    #[test]
    fn both_formats_are_taken_with_times_exemplars_and_odd_numbers() {
        for (line, value) in [
            ("m 1", 1.0),
            ("m\t1.5e3", 1500.0),
            ("  m{} 2 ", 2.0),
            ("m{a=\"b\"} 3 1395066363000", 3.0),
            ("m{a=\"b\",} 4 -3982045", 4.0),
            ("m {a = \"b\" , c=\"d\"}  5 1520879607.789", 5.0),
            ("m{a=\"b\"} 6 # {trace=\"x\"} 0.67", 6.0),
            ("m 7 1520879607.789 # {trace=\"x } # y\"} 0.67 1520879607.789", 7.0),
            ("m{a=\"}, b=\\\"c\\\" \\\\ \\n\"} 8", 8.0),
            ("m +Inf", f64::INFINITY),
        ] {
            assert_eq!(values(&format!("# TYPE m gauge\r\n{line}\r\n# EOF\n")), Ok(vec![value]), "{line}");
        }
        assert!(values("m NaN\n").is_ok_and(|values| values[0].is_nan()));
    }

    #[test]
    fn labels_are_taken_apart_with_their_escapes() {
        let found = samples("m{a=\"1\",b=\"x=\\\"}\\\\,\\n\"} 1", |_| true).expect("a good line");
        assert_eq!(found[0].labels, [("a", Cow::Borrowed("1")), ("b", Cow::Owned("x=\"}\\,\n".to_owned()))]);
        assert_eq!(found[0].series, "{a=\"1\",b=\"x=\\\"}\\\\,\\n\"}");
    }

    #[test]
    fn what_is_malformed_is_refused_with_its_line() {
        for (body, error) in [
            ("<html>\n", Unreadable::NoSample(1)),
            ("{\"error\": 1}\nnot found", Unreadable::Value(2)),
            ("# ok\n1m 2", Unreadable::NoSample(2)),
            ("m", Unreadable::NoSample(1)),
            ("m{a=\"b\" 1", Unreadable::Labels(1)),
            ("m{a=b} 1", Unreadable::Labels(1)),
            ("m{a=\"b} 1", Unreadable::Labels(1)),
            ("m{a=\"\\q\"} 1", Unreadable::Labels(1)),
            ("m{a=\"1\" b=\"2\"} 1", Unreadable::Labels(1)),
            ("m{} ", Unreadable::Value(1)),
            ("m one", Unreadable::Value(1)),
            ("m 1 soon", Unreadable::AfterValue(1)),
            ("m 1 2 3", Unreadable::AfterValue(1)),
            ("m 1\n# EOF\nm 2\n", Unreadable::BehindEnd(3)),
        ] {
            assert_eq!(samples(body, |name| name == "m" || name == "not"), Err(error), "{body:?}");
        }
    }

    #[test]
    fn lines_of_other_metrics_need_only_a_name() {
        assert_eq!(values("other -nan(ind)\n{\"m.m\"} 1\nm 1\nm_total 5\nm:x 7\n"), Ok(vec![1.0]));
        assert_eq!(values(""), Ok(vec![]));
    }
}
