//! Lines of bounded length from any source of bytes.

use std::io::{self, BufRead, Read};

/// The longest line that is read. An exec's arguments and environment may have a megabyte before they are escaped.
const LINE_BYTES_MAX: usize = 4 << 20;

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is in the buffer, without its end.
    Line {
        /// The source ended before the line did.
        unended: bool,
    },
    /// It was longer than the limit and was passed over.
    TooLong,
    /// There are no more.
    End,
}

/// Reads the next line into `buffer`, which it clears first.
pub(super) fn next_line(source: &mut impl BufRead, buffer: &mut Vec<u8>) -> io::Result<Next> {
    buffer.clear();
    let most = (LINE_BYTES_MAX as u64).saturating_add(1);
    if source.by_ref().take(most).read_until(b'\n', buffer)? == 0 {
        return Ok(Next::End);
    }
    if buffer.last() == Some(&b'\n') {
        buffer.pop();
        return Ok(Next::Line { unended: false });
    }
    if buffer.len() <= LINE_BYTES_MAX {
        return Ok(Next::Line { unended: true });
    }
    source.skip_until(b'\n')?;
    Ok(Next::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_passed_over_as_a_whole() {
        let mut text = b"one\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', LINE_BYTES_MAX + 10));
        text.extend(b"\ntwo");
        let (mut source, mut buffer) = (io::BufReader::with_capacity(7, text.as_slice()), Vec::new());
        assert_eq!(next_line(&mut source, &mut buffer).unwrap(), Next::Line { unended: false });
        assert_eq!(buffer, b"one");
        assert_eq!(next_line(&mut source, &mut buffer).unwrap(), Next::TooLong);
        assert_eq!(next_line(&mut source, &mut buffer).unwrap(), Next::Line { unended: true });
        assert_eq!(buffer, b"two");
        assert_eq!(next_line(&mut source, &mut buffer).unwrap(), Next::End);
    }
}
