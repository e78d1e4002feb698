//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>): which trace a request is in, and the gateway's part of it.

use http::HeaderValue;

/// Where a request is in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceContext {
    trace: u128,
    /// The gateway's own part.
    span: u64,
    /// Whether the client says that it keeps the trace.
    flags: u8,
}

impl TraceContext {
    /// Goes on with the client's trace, or begins one.
    pub(crate) fn of(header: Option<&HeaderValue>, rng: &mut fastrand::Rng) -> Self {
        let parent = header.and_then(|header| parse(header.as_bytes()));
        let (trace, flags) = parent.unwrap_or_else(|| (rng.u128(1..), 0));
        Self { trace, span: rng.u64(1..), flags }
    }

    /// For the next one on the way.
    pub(crate) fn header(&self) -> HeaderValue {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&mut text[3..35], self.trace);
        write_hex(&mut text[36..52], self.span.into());
        write_hex(&mut text[53..], self.flags.into());
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// For logs.
    pub(crate) fn trace_id(&self) -> String {
        let mut text = [b'0'; 32];
        write_hex(&mut text, self.trace);
        text.iter().map(|digit| char::from(*digit)).collect()
    }
}

/// Each request has such numbers, and formatting takes several times as long.
fn write_hex(text: &mut [u8], mut number: u128) {
    for digit in text.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

/// Trace and flags; `None` where it is not as it should be: then a new trace begins.
fn parse(header: &[u8]) -> Option<(u128, u8)> {
    let header = std::str::from_utf8(header).ok()?;
    let mut fields = header.split('-');
    let (version, trace, parent, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_well = is_hex(version, 2) && is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2);
    // Later versions may have more fields, the first one has not.
    let is_known = version != "ff" && (version != "00" || fields.next().is_none());
    if !is_well || !is_known {
        return None;
    }
    let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
    u64::from_str_radix(parent, 16).ok().filter(|parent| *parent != 0)?;
    Some((trace, u8::from_str_radix(flags, 16).ok()? & 1))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::{TraceContext, parse};

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn a_trace_goes_on_if_it_is_one() {
        let header = |text: &str| parse(text.as_bytes()).map(|(trace, flags)| (format!("{trace:032x}"), flags));
        let parent = "b7ad6b7169203331";
        assert_eq!(header(&format!("00-{TRACE}-{parent}-01")), Some((TRACE.to_owned(), 1)));
        assert_eq!(header(&format!("cc-{TRACE}-{parent}-00-more")), Some((TRACE.to_owned(), 0)));
        for wrong in [
            format!("00-{TRACE}-{parent}-01-more"),
            format!("ff-{TRACE}-{parent}-01"),
            format!("00-{}-{parent}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{}-{parent}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{parent}"),
            String::new(),
        ] {
            assert_eq!(header(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn each_request_is_a_part_of_its_own() {
        let mut rng = fastrand::Rng::with_seed(1);
        let given = HeaderValue::try_from(format!("00-{TRACE}-b7ad6b7169203331-01")).unwrap();
        let (one, other) = (TraceContext::of(Some(&given), &mut rng), TraceContext::of(Some(&given), &mut rng));
        assert_eq!((one.trace_id(), other.trace_id()), (TRACE.to_owned(), TRACE.to_owned()));
        assert_ne!(one.header(), other.header());
        assert_eq!(one.header().to_str().unwrap(), format!("00-{TRACE}-{:016x}-01", one.span));
        assert_ne!(TraceContext::of(None, &mut rng).trace_id(), TraceContext::of(None, &mut rng).trace_id());
    }
}
