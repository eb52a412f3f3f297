//! lines → documents
//!
//! A document ends at a separator: a line of its own, a blank line, or the end of each line. In a file whose first text is a top-level heading of
//! WikiText (` = Robert Boulter = `), one begins at each such heading too, because that collection stores articles
//! line by line and marks their limits in no other way.

use itera_config::Separator;

/// Gathers lines into documents.
pub(super) struct Splitter {
    separator: Separator,
    /// Whether headings begin documents; settled by the first line that is not blank.
    splits_at_headings: Option<bool>,
    gathered: String,
}

impl Splitter {
    pub(super) fn new(separator: Separator) -> Self {
        Self { separator, splits_at_headings: None, gathered: String::new() }
    }

    /// Take the next line, its ending included; returns the document that it completes, which may be blank.
    pub(super) fn push(&mut self, line: &str) -> Option<String> {
        let content = line.trim_end_matches(['\r', '\n']);
        let ends = match &self.separator {
            Separator::Line(text) => content.trim_end() == text,
            Separator::BlankLine => content.trim_end().is_empty(),
            Separator::LineEnd => {
                self.gathered.push_str(line);
                true
            }
        };
        if ends {
            return Some(self.take());
        }
        if self.splits_at_headings.is_none() && !content.trim().is_empty() {
            self.splits_at_headings = Some(is_article_heading(content));
        }
        let begins_article = self.splits_at_headings == Some(true) && is_article_heading(content);
        let finished = (begins_article && !self.gathered.trim().is_empty()).then(|| self.take());
        self.gathered.push_str(line);
        finished
    }

    /// The document after the last separator, unless it is blank.
    pub(super) fn finish(&mut self) -> Option<String> {
        let last = self.take();
        (!last.trim().is_empty()).then_some(last)
    }

    /// The gathered lines without the line breaks that only set them apart from the separators.
    fn take(&mut self) -> String {
        let lines = std::mem::take(&mut self.gathered);
        lines.trim_matches(['\r', '\n']).to_owned()
    }
}

/// Whether a line is ` = Title = `, and not a heading of a lower level, ` = = Title = = `.
pub(super) fn is_article_heading(line: &str) -> bool {
    line.trim_end_matches(['\r', '\n'])
        .strip_prefix(" = ")
        .and_then(|rest| rest.strip_suffix(" = "))
        .is_some_and(|title| !title.is_empty() && !title.starts_with("= ") && !title.ends_with(" ="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(separator: &str, text: &str) -> Vec<String> {
        let mut splitter = Splitter::new(Separator::of(separator).expect("one line"));
        let mut documents: Vec<_> = text.split_inclusive('\n').filter_map(|line| splitter.push(line)).collect();
        documents.extend(splitter.finish());
        documents
    }

    #[test]
    fn line_endings_and_a_final_separator_make_no_difference() {
        for text in ["a\nb\n<end>\nc\n", "a\nb\n<end>\nc", "a\nb\n<end>\nc\n<end>", "a\nb\n\n<end>\nc\n<end>\n"] {
            assert_eq!(split("<end>", text), ["a\nb", "c"], "{text:?}");
            let crlf = text.replace('\n', "\r\n");
            assert_eq!(split("<end>", &crlf), ["a\r\nb", "c"], "{crlf:?}");
        }
    }

    #[test]
    fn white_space_behind_a_separator_does_not_count() {
        assert_eq!(split("<end>", "a\n<end> \nb\n<end>\t\r\n"), ["a", "b"]);
        assert_eq!(split("<end> ", "a\n<end>\nb"), ["a", "b"]);
        assert_eq!(split("\n<end>\n", "a\n<end>\nb"), ["a", "b"]);
    }

    #[test]
    fn a_line_end_separates_every_line() {
        assert_eq!(split("\n", "one\ntwo \r\n three\n"), ["one", "two ", " three"]);
    }

    #[test]
    fn only_a_whole_line_separates() {
        assert_eq!(split("<end>", "a <end>\n<end> b\n <end>\n"), ["a <end>\n<end> b\n <end>"]);
    }

    #[test]
    fn a_text_without_separators_is_one_document() {
        assert_eq!(split("<end>", "one\n\ntwo\n"), ["one\n\ntwo"]);
        assert_eq!(split("<end>", "\n \n"), [""; 0]);
    }

    #[test]
    fn blank_lines_separate() {
        for separator in ["", "\n\n", r"\n\n"] {
            assert_eq!(split(separator, "one\nmore\n\ntwo\n \t\nthree"), ["one\nmore", "two", "three"]);
        }
    }

    #[test]
    fn articles_begin_at_top_level_headings() {
        let text = " \n = Lobster = \n \n It lives . \n = = Food = = \n It eats . \n = Crab = \n \n It too . \n";
        assert_eq!(
            split("<end>", text),
            [" \n = Lobster = \n \n It lives . \n = = Food = = \n It eats . ", " = Crab = \n \n It too . "]
        );
    }

    #[test]
    fn headings_within_an_ordinary_text_do_not_split_it() {
        assert_eq!(split("<end>", "x\n = y = \nz\n"), ["x\n = y = \nz"]);
    }
}
