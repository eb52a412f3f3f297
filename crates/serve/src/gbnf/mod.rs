//! Grammars in llama.cpp's language (GBNF) → the same in Lark's, as `llguidance` reads it.
//!
//! ```text
//! root ::= "a" [0-9]+ (item | ".")    ──▶    start: r0
//! item ::= [^\n]{2,3}                        r0: "a" /[\x{30}-\x{39}]/+ g0
//!                                            g0: r1 | /(?s:.)/
//!                                            r1: /[^\x{a}]/{2,3}
//! ```
//!
//! GBNF speaks of characters, one after the other. `llguidance` cuts a text into lexemes first, the longest that match: here each
//! character is a lexeme, so that none is longer than another that begins where it does. Groups become rules of their own,
//! however deep they lie.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, fmt::Write};

/// Groups within groups that are read.
const DEEPEST: usize = 100;

/// Most times that something may be said to repeat.
const MOST_TIMES: u32 = 10_000;

/// The grammar in Lark's language that has the texts of `gbnf`.
///
/// # Errors
/// Says in which line what is wrong.
pub(crate) fn to_lark(gbnf: &str) -> Result<String, String> {
    let mut reader = Reader { text: gbnf, at: 0, names: HashMap::new(), rules: vec![], groups: 0 };
    let read = reader.grammar();
    read.map_err(|Problem { at, what }| {
        let line = gbnf.get(..at).unwrap_or(gbnf).matches('\n').count() + 1;
        format!("line {line}: {what}")
    })
}

/// What is wrong, and at which byte.
struct Problem {
    at: usize,
    what: String,
}

struct Reader<'g> {
    text: &'g str,
    /// Bytes that were read.
    at: usize,
    names: HashMap<&'g str, Named>,
    /// Of Lark, a line each.
    rules: Vec<String>,
    groups: usize,
}

/// A rule that has a name.
struct Named {
    number: usize,
    /// Where the name was read first.
    at: usize,
    is_defined: bool,
}

/// A part of a sequence, in Lark.
struct Part {
    lark: String,
    /// Whether what repeats it may follow it as it is.
    is_one: bool,
}

impl Part {
    fn one(lark: impl Into<String>) -> Self {
        Self { lark: lark.into(), is_one: true }
    }
}

impl<'g> Reader<'g> {
    fn grammar(&mut self) -> Result<String, Problem> {
        self.space(true);
        while self.at < self.text.len() {
            self.rule()?;
        }
        let undefined = self.names.iter().filter(|(_, named)| !named.is_defined).min_by_key(|(_, named)| named.at);
        if let Some((name, named)) = undefined {
            return Err(Problem { at: named.at, what: format!("there is no rule {name:?}") });
        }
        let root = self.names.get("root").ok_or_else(|| self.problem("expected a rule \"root\""))?;
        Ok(format!("start: r{}\n{}\n", root.number, self.rules.join("\n")))
    }

    /// `name ::= alternates`, up to the end of its line.
    fn rule(&mut self) -> Result<(), Problem> {
        let at = self.at;
        let name = self.name().ok_or_else(|| self.problem("expected the name of a rule"))?;
        let number = self.number_of(name, at);
        if self.names.get(name).is_some_and(|named| named.is_defined) {
            return Err(Problem { at, what: format!("there are two rules {name:?}") });
        }
        self.space(false);
        if !self.skip("::=") {
            return Err(self.problem("expected ::="));
        }
        self.space(true);
        let lark = self.alternates(0)?;
        if !matches!(self.peek(), None | Some('\r' | '\n')) {
            return Err(self.problem("expected the end of the rule, which is the end of its line"));
        }
        self.space(true);
        self.rules.push(format!("r{number}: {lark}"));
        if let Some(named) = self.names.get_mut(name) {
            named.is_defined = true;
        }
        Ok(())
    }

    /// Sequences between bars, within so many groups.
    fn alternates(&mut self, depth: usize) -> Result<String, Problem> {
        let mut lark = self.sequence(depth)?;
        while self.skip("|") {
            self.space(true);
            let _ = write!(lark, " | {}", self.sequence(depth)?);
        }
        Ok(lark)
    }

    fn sequence(&mut self, depth: usize) -> Result<String, Problem> {
        let mut parts: Vec<Part> = vec![];
        while let Some(next) = self.peek() {
            let part = match next {
                '"' => self.literal()?,
                '[' => self.class()?,
                '.' => {
                    self.at += 1;
                    Part::one("/(?s:.)/")
                }
                '(' => self.group(depth)?,
                '*' | '+' | '?' | '{' => {
                    let repeated = parts.pop().ok_or_else(|| self.problem("expected something that repeats"))?;
                    self.repeated(repeated, depth > 0)?
                }
                '<' | '!' => return Err(self.problem("tokens are not served: expected characters")),
                _ => {
                    let at = self.at;
                    let Some(name) = self.name() else { break };
                    Part::one(format!("r{}", self.number_of(name, at)))
                }
            };
            parts.push(part);
            self.space(depth > 0);
        }
        let parts: Vec<&str> = parts.iter().map(|part| part.lark.as_str()).collect();
        Ok(if parts.is_empty() { "\"\"".into() } else { parts.join(" ") })
    }

    fn group(&mut self, depth: usize) -> Result<Part, Problem> {
        if depth == DEEPEST {
            return Err(self.problem(format!("more than {DEEPEST} groups within each other")));
        }
        let at = self.at;
        self.at += 1;
        self.space(true);
        let lark = self.alternates(depth + 1)?;
        if !self.skip(")") {
            let what = if self.peek().is_none() { "a group without an end" } else { "expected )" };
            let at = if self.peek().is_none() { at } else { self.at };
            return Err(Problem { at, what: what.into() });
        }
        Ok(self.of_its_own(&lark))
    }

    /// A rule for something that has no name.
    fn of_its_own(&mut self, lark: &str) -> Part {
        let name = format!("g{}", self.groups);
        self.groups += 1;
        self.rules.push(format!("{name}: {lark}"));
        Part::one(name)
    }

    /// `part` as often as is said next.
    fn repeated(&mut self, part: Part, is_nested: bool) -> Result<Part, Problem> {
        let times = match self.peek() {
            Some(sign @ ('*' | '+' | '?')) => {
                self.at += 1;
                sign.to_string()
            }
            _ => self.times(is_nested)?,
        };
        if times == "{0,0}" {
            return Ok(Part::one("\"\""));
        }
        let Part { lark, .. } = if part.is_one { part } else { self.of_its_own(&part.lark) };
        Ok(Part { lark: lark + &times, is_one: false })
    }

    /// `{m}`, `{m,}` or `{m,n}`.
    fn times(&mut self, is_nested: bool) -> Result<String, Problem> {
        let at = self.at;
        self.at += 1;
        self.space(is_nested);
        let least = self.count()?.ok_or_else(|| self.problem("expected a number"))?;
        self.space(is_nested);
        let most = if self.skip(",") {
            self.space(is_nested);
            self.count()?
        } else {
            Some(least)
        };
        self.space(is_nested);
        if !self.skip("}") {
            return Err(self.problem("expected }"));
        }
        match most {
            None => Ok(format!("{{{least},}}")),
            Some(most) if most < least => {
                Err(Problem { at, what: format!("{most} times at most is less than {least} at least") })
            }
            Some(most) => Ok(format!("{{{least},{most}}}")),
        }
    }

    fn count(&mut self) -> Result<Option<u32>, Problem> {
        let digits = self.while_is(|c| c.is_ascii_digit());
        if digits.is_empty() {
            return Ok(None);
        }
        let count = digits.parse().ok().filter(|count| *count <= MOST_TIMES);
        count.map(Some).ok_or_else(|| self.problem(format!("more than {MOST_TIMES} times")))
    }

    /// Characters in quotes.
    fn literal(&mut self) -> Result<Part, Problem> {
        let at = self.at;
        self.at += 1;
        let mut chars = vec![];
        while !self.skip("\"") {
            chars.push(self.char(at, "a text without an end")?);
        }
        let lark: Vec<String> = chars.iter().map(|c| format!("/{}/", escaped(*c))).collect();
        Ok(match &lark[..] {
            [] => Part::one("\"\""),
            [only] => Part::one(only.as_str()),
            _ => Part { lark: lark.join(" "), is_one: false },
        })
    }

    /// `[…]`: one of some characters, or of all others.
    fn class(&mut self) -> Result<Part, Problem> {
        let at = self.at;
        let no_end = "characters in brackets without an end";
        self.at += 1;
        let mut lark = String::from(if self.skip("^") { "/[^" } else { "/[" });
        let mut is_empty = true;
        while !self.skip("]") {
            let first = self.char(at, no_end)?;
            lark += &escaped(first);
            let rest = &self.text[self.at..];
            if rest.starts_with('-') && !rest.starts_with("-]") {
                self.at += 1;
                let last = self.char(at, no_end)?;
                if last < first {
                    return Err(self.problem(format!("a range that ends before it begins: {first:?} to {last:?}")));
                }
                let _ = write!(lark, "-{}", escaped(last));
            }
            is_empty = false;
        }
        if is_empty {
            return Err(Problem { at, what: "no characters in brackets".into() });
        }
        Ok(Part::one(lark + "]/"))
    }

    /// A character of what began at `start`, which is there or escaped.
    fn char(&mut self, start: usize, no_end: &str) -> Result<char, Problem> {
        let no_end = || Problem { at: start, what: no_end.into() };
        let c = self.peek().ok_or_else(no_end)?;
        if c != '\\' {
            self.at += c.len_utf8();
            return Ok(c);
        }
        let escape = self.text[self.at + 1..].chars().next().ok_or_else(no_end)?;
        let digits = match escape {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        let from = self.at + 2;
        let c = match escape {
            'x' | 'u' | 'U' => {
                let digits = self.text.get(from..from + digits).filter(|d| d.bytes().all(|d| d.is_ascii_hexdigit()));
                let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                code.and_then(char::from_u32)
            }
            't' => Some('\t'),
            'r' => Some('\r'),
            'n' => Some('\n'),
            '\\' | '"' | '[' | ']' | '-' => Some(escape),
            _ => None,
        };
        let c = c.ok_or_else(|| self.problem("an escape that is none of a character"))?;
        self.at = from + digits;
        Ok(c)
    }

    fn name(&mut self) -> Option<&'g str> {
        let name = self.while_is(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        (!name.is_empty()).then_some(name)
    }

    fn number_of(&mut self, name: &'g str, at: usize) -> usize {
        let number = self.names.len();
        self.names.entry(name).or_insert(Named { number, at, is_defined: false }).number
    }

    /// Pass over blanks and comments, and over ends of lines where they mean nothing.
    fn space(&mut self, with_lines: bool) {
        loop {
            self.while_is(|c| matches!(c, ' ' | '\t') || with_lines && matches!(c, '\r' | '\n'));
            if self.peek() != Some('#') {
                return;
            }
            self.while_is(|c| !matches!(c, '\r' | '\n'));
        }
    }

    fn while_is(&mut self, is: impl Fn(char) -> bool) -> &'g str {
        let rest = &self.text[self.at..];
        let found = &rest[..rest.find(|c| !is(c)).unwrap_or(rest.len())];
        self.at += found.len();
        found
    }

    fn skip(&mut self, what: &str) -> bool {
        let is_there = self.text[self.at..].starts_with(what);
        self.at += if is_there { what.len() } else { 0 };
        is_there
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    /// What is wrong here.
    fn problem(&self, what: impl Into<String>) -> Problem {
        Problem { at: self.at, what: what.into() }
    }
}

/// A character in a regular expression.
fn escaped(c: char) -> String {
    if c.is_ascii_alphanumeric() { c.into() } else { format!("\\x{{{:x}}}", u32::from(c)) }
}
