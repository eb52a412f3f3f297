//! what ranks tell each other ↔ lines of a connection

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use crate::beacon::Seen;

/// Bytes of the longest line. Host names and phases are far shorter.
const LONGEST: u64 = 4096;

/// What one rank tells another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Line {
    /// What it does.
    Here(Seen),
    /// It ends as it should.
    Leaves,
    /// It ends all ranks with this exit code.
    Fails(i32),
    /// Some rank does, says rank 0.
    OtherFails(i32),
    /// All ranks are to end: why, and the exit code if it is one's.
    Lost { why: String, code: Option<i32> },
}

impl Line {
    fn to_text(&self) -> String {
        match self {
            Self::Here(seen) => format!("here {seen}\n"),
            Self::Leaves => "leaves \n".into(),
            Self::Fails(code) => format!("fails {code}\n"),
            Self::OtherFails(code) => format!("other-fails {code}\n"),
            Self::Lost { why, code } => {
                let code = code.map_or_else(|| "-".into(), |code| code.to_string());
                format!("lost {code} {}\n", why.replace('\n', " "))
            }
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        let (kind, rest) = text.strip_suffix('\n')?.split_once(' ')?;
        Some(match kind {
            "here" => Self::Here(Seen::from_text(rest)?),
            "leaves" => Self::Leaves,
            "fails" => Self::Fails(rest.parse().ok()?),
            "other-fails" => Self::OtherFails(rest.parse().ok()?),
            "lost" => {
                let (code, why) = rest.split_once(' ')?;
                Self::Lost { why: why.to_owned(), code: code.parse().ok() }
            }
            _ => return None,
        })
    }
}

/// Send a line, within the time limit of the connection.
pub(crate) fn tell(to: &mut TcpStream, line: &Line) -> io::Result<()> {
    to.write_all(line.to_text().as_bytes())
}

/// The lines that come by a connection, until it is closed or says something else.
pub(crate) struct Lines(BufReader<TcpStream>);

impl Lines {
    pub(crate) fn new(from: TcpStream) -> Self {
        Self(BufReader::new(from))
    }
}

impl Iterator for Lines {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let mut text = String::new();
        self.0.by_ref().take(LONGEST).read_line(&mut text).ok()?;
        Line::from_text(&text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_comes_as_it_was_told() {
        let (doing, lasts) = ("data of step 7".into(), Duration::from_millis(12));
        let seen = Seen { doing, lasts, may_last: true, collectives: 3, waits: false };
        let lost = |code| Line::Lost { why: "rank 1 on h1 is gone".into(), code };
        for line in [Line::Here(seen), Line::Leaves, Line::Fails(-3), Line::OtherFails(1), lost(None), lost(Some(1))] {
            assert_eq!(Line::from_text(&line.to_text()), Some(line));
        }
        for text in ["", "leaves ", "here\n", "fails x\n", "lost 1\n", "hello world\n"] {
            assert_eq!(Line::from_text(text), None, "{text}");
        }
    }
}
