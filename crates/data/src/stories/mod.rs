//! The builtin stories: a seeded grammar of small plots that knows what each of its stories cost.
//!
//! ```text
//! seed, index ──► Writer ──choices──► plot ──templates──► Tale ──words──► Story { text, nats, plot }
//!                                      │                    │
//!                              setting, goal, obstacle,   variables that stay the same
//!                              helper, ending (plot/)     through a story (lexicon.rs)
//! ```
//!
//! # The floor
//!
//! A story is told by a program that asks an author for every choice, and each choice is uniform and shows in the
//! text. No text has two derivations ([`derivations`] finds them all), so [`Story::nats`] is exactly `−ln P(text)`,
//! and no model can expect to spend less on stories that it has not seen. A story ends where its derivation ends: the
//! end of the document costs a perfect model nothing.
//!
//! Ten megabytes of seed 0 are 8756 stories of 1142 bytes and 181 nats in the mean: a floor of 0.228 bits per byte
//! (test `ten_megabytes` holds these numbers).
//!
//! # No repeats
//!
//! There are 15,120 [plot shapes](plot_shapes), and no story of those ten megabytes costs less than 100 nats. By the
//! birthday bound, `n` stories of probability at most `e^−100` repeat one with probability below `n² e^−100 / 2`.

mod author;
// Word lists are packed by hand.
#[rustfmt::skip]
mod cast;
mod class;
mod lexicon;
mod plot;
mod reader;
mod scene;
mod tale;
mod template;
#[rustfmt::skip]
mod voice;
#[rustfmt::skip]
mod world;

#[cfg(test)]
mod tests;

pub use plot::{PlotId, plot_shapes};
pub use reader::derivations;

/// One story.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// ASCII text; paragraphs are separated by an empty line, and there is no line break at the end.
    pub text: String,
    /// `−ln P(text)` under the grammar, in nats, the end of the story included.
    pub nats: f64,
    /// What happens in it.
    pub plot: PlotId,
}

/// Writes stories; story `index` is a pure function of `(seed, index)`, on every platform.
///
/// ```
/// use itera_data::stories::StoryAuthor;
///
/// let author = StoryAuthor::new(0);
/// assert_eq!(author.story(3), author.stories().nth(3).expect("there is no last story"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoryAuthor {
    seed: u64,
}

impl StoryAuthor {
    /// An author with a style of `seed`'s own.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Story number `index`.
    pub fn story(&self, index: u64) -> Story {
        let mut writer = author::Writer::new(self.seed, index);
        let plot = plot::tell(&mut writer);
        Story { text: writer.text, nats: writer.nats, plot }
    }

    /// All stories, from number 0 on; there are 2⁶⁴.
    pub fn stories(&self) -> impl Iterator<Item = Story> + use<> {
        let author = *self;
        (0..=u64::MAX).map(move |index| author.story(index))
    }
}
