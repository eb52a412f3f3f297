//! Text in pieces, up to the first stop string.

/// Lets text through, holding back what may be the beginning of a stop string.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopText {
    stops: Vec<String>,
    held: String,
    is_stopped: bool,
}

impl StopText {
    /// Empty stop strings stop nothing.
    pub(crate) fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { stops, ..Self::default() }
    }

    /// The text that may be shown now that `piece` has come.
    pub(crate) fn push(&mut self, piece: &str) -> String {
        if self.is_stopped {
            return String::new();
        }
        self.held.push_str(piece);
        let first = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        self.is_stopped = first.is_some();
        let shown = first.unwrap_or_else(|| {
            let beginnings = self.stops.iter().map(|stop| beginning_len(&self.held, stop));
            self.held.len() - beginnings.max().unwrap_or(0)
        });
        let held = self.held.split_off(shown);
        std::mem::replace(&mut self.held, held)
    }

    /// Whether a stop string has come.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// What was held back of a text that ends without a stop string.
    pub(crate) fn finish(&mut self) -> String {
        if self.is_stopped { String::new() } else { std::mem::take(&mut self.held) }
    }
}

/// Bytes at the end of `text` that `stop` begins with.
fn beginning_len(text: &str, stop: &str) -> usize {
    let cuts = stop.char_indices().map(|(cut, _)| cut).skip(1);
    cuts.filter(|cut| text.ends_with(&stop[..*cut])).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(|stop| stop.to_string()).collect();
        let mut text = StopText::new(&stops);
        let mut shown: String = pieces.iter().map(|piece| text.push(piece)).collect();
        let is_stopped = text.is_stopped();
        shown.push_str(&text.finish());
        (shown, is_stopped)
    }

    #[test]
    fn text_ends_before_the_first_stop_string_however_it_is_cut() {
        for pieces in [&["The end. More"][..], &["The ", "end", ". More"], &["T", "he e", "nd.", " More", "end."]] {
            assert_eq!(through(&["end."], pieces), ("The ".into(), true));
            assert_eq!(through(&["end.", "he"], pieces), ("T".into(), true));
            assert_eq!(through(&["zz", "end."], pieces), ("The ".into(), true));
        }
    }

    #[test]
    fn text_without_a_stop_string_comes_through_whole() {
        assert_eq!(through(&["end."], &["The en", "dless é", "en"]), ("The endless éen".into(), false));
        assert_eq!(through(&["", "é!"], &["é", "é"]), ("éé".into(), false));
    }

    #[test]
    fn nothing_is_held_back_that_cannot_become_a_stop_string() {
        let stops = ["\n\n".to_string()];
        let mut text = StopText::new(&stops);
        assert_eq!([text.push("a\n"), text.push("b\n"), text.push("\nc")], ["a", "\nb", ""]);
    }
}
