//! Tells templates: the small language in which plots are written.
//!
//! ```text
//! "[One day|Then], {hero} lost {his} {color} {toy}."  ──►  "One day, Lily lost her red kite."
//! ```
//!
//! - `[a|b|c]` is one of the options, equally likely; options nest and may be empty.
//! - `{toy}` is a variable, chosen at its first mention and repeated afterwards; `{toy.went}` is another column of
//!   its row, `{Toy}` starts with a capital, `{a toy}` has the right article. At the first mention an adjective may go
//!   before the word, see [`Class::adjectives`].
//! - `{he}`, `{him}`, `{his}`, `{himself}` stand for the hero; `{friend.he}` and so on for anyone else.
//! - `{helper}`, `{plea}` and the other fields of [`Phrases`] are templates that the plot has set.
//! - A line break and its indentation are one space.
//!
//! A cell may be a template too; one that is mentioned twice must have no options, or its mentions would differ.

use super::author::Author;
use super::class::Class;
use super::lexicon::VARIABLES;
use super::scene::{Scene, variable};
use super::template::{article_of, group, is_special, lead, options, starts_like};

/// Templates that the parts of a plot lend each other.
#[derive(Default)]
pub(super) struct Phrases {
    /// How the goal begins in time: "One sunny morning,".
    pub then: &'static str,
    /// How the helper is mentioned: "the owl", "Mom".
    pub helper: &'static str,
    /// How the helper is spoken to: "dear owl", "Mom".
    pub address: &'static str,
    /// Variable that holds the helper, for pronouns.
    pub helper_role: &'static str,
    /// The trouble in the hero's words, without a full stop.
    pub plea: &'static str,
    /// What the hero did from that day on.
    pub moral: &'static str,
}

impl Phrases {
    fn named(&self, name: &str) -> Option<&'static str> {
        match name {
            "then" | "Then" => Some(self.then),
            "helper" | "Helper" => Some(self.helper),
            "address" => Some(self.address),
            "plea" | "Plea" => Some(self.plea),
            "moral" => Some(self.moral),
            _ => None,
        }
    }
}

/// A story being told: what is settled so far, and the author who settles the rest.
pub(super) struct Tale<'a, A> {
    author: &'a mut A,
    scene: Scene,
    pub phrases: Phrases,
    /// The next letter is a capital.
    capital: bool,
}

impl<'a, A: Author> Tale<'a, A> {
    pub fn new(author: &'a mut A) -> Self {
        Self { author, scene: Scene::new(), phrases: Phrases::default(), capital: false }
    }

    /// Chooses one of `items` by the template each would go on with, without telling it.
    pub fn choose<T>(&mut self, items: &'static [T], template: impl Fn(&T) -> &'static str) -> (u8, &'static T) {
        let i = self.pick(items.len(), |i, rest| starts_like(rest, lead(template(&items[i]))));
        (u8::try_from(i).expect("a plot has fewer than 256 alternatives"), &items[i])
    }

    /// Starts a new paragraph.
    pub fn paragraph(&mut self) {
        self.write("\n\n");
    }

    /// Tells a template.
    pub fn say(&mut self, template: &'static str) {
        let mut rest = template;
        while let Some(at) = rest.bytes().position(is_special) {
            self.write(&rest[..at]);
            let after = &rest[at + 1..];
            rest = match rest.as_bytes()[at] {
                b'\n' => {
                    self.write(" ");
                    after.trim_start_matches(' ')
                }
                b'{' => {
                    let (slot, after) = after.split_once('}').expect("a slot ends with a brace");
                    self.slot(slot);
                    after
                }
                _ => {
                    let (body, after) = group(after);
                    let i = self.pick(options(body).count(), |i, rest| {
                        options(body).nth(i).is_some_and(|option| starts_like(rest, lead(option)))
                    });
                    self.say(options(body).nth(i).expect("the author chose one of the options"));
                    after
                }
            };
        }
        self.write(rest);
    }

    /// One of `n`, without asking when there is nothing to choose.
    fn pick(&mut self, n: usize, fits: impl Fn(usize, &str) -> bool) -> usize {
        if n == 1 { 0 } else { self.author.choose(n, fits) }
    }

    fn write(&mut self, text: &str) {
        match text.chars().next() {
            Some(first) if self.capital => {
                self.capital = false;
                self.author.write(first.to_ascii_uppercase().encode_utf8(&mut [0; 4]));
                self.author.write(&text[first.len_utf8()..]);
            }
            _ => self.author.write(text),
        }
    }

    /// Tells what a slot stands for.
    fn slot(&mut self, slot: &'static str) {
        self.capital |= slot.starts_with(|letter: char| letter.is_ascii_uppercase());
        let (mut article, mention) = match slot.split_once(' ') {
            Some((_, mention)) => (true, mention),
            None => (false, slot),
        };
        if let Some(phrase) = self.phrases.named(mention) {
            return self.say(phrase);
        }
        let (name, column) = mention.split_once('.').unwrap_or((mention, ""));
        let (name, column) =
            match ["he", "him", "his", "himself"].into_iter().find(|form| name.eq_ignore_ascii_case(form)) {
                Some(form) => ("hero", form),
                None if name.eq_ignore_ascii_case("helper") => (self.phrases.helper_role, column),
                None => (name, column),
            };
        let at = variable(name);
        let Class { adjectives, .. } = VARIABLES[at].class;
        if self.scene.held(at).is_none() && column.is_empty() && !adjectives.is_empty() {
            let adjective = adjectives[self.pick_word(adjectives.len(), article, |i| adjectives[i])];
            self.word(article, adjective);
            self.write(" ");
            article = false;
        }
        let row = self.row(at, column, article);
        self.word(article, VARIABLES[at].class.cell(row, column));
    }

    /// One of `n` words that is about to be told, with or without an article.
    fn pick_word(&mut self, n: usize, article: bool, word: impl Fn(usize) -> &'static str) -> usize {
        self.pick(n, |i, rest| {
            let article = if article { article_of(word(i)) } else { "" };
            rest.get(article.len()..).is_some_and(|rest| starts_like(rest, lead(word(i))))
        })
    }

    /// Tells a word, with or without an article.
    fn word(&mut self, article: bool, word: &'static str) {
        if article {
            self.write(article_of(word));
        }
        self.say(word);
    }

    /// The row that a variable holds, chosen now if this is its first mention.
    fn row(&mut self, at: usize, column: &str, article: bool) -> usize {
        if let Some(row) = self.scene.held(at) {
            return row;
        }
        let free = self.scene.free_rows(at);
        let row = free[self.pick_word(free.len(), article, |i| VARIABLES[at].class.cell(free[i], column))];
        self.scene.hold(at, row);
        row
    }
}
