//! How fast text becomes tokens, as data is prepared: bytes of text a second.
//!
//! ```text
//! cargo bench -p itera-data --no-default-features
//! ```

use divan::{Bencher, black_box, counter::BytesCount};
use itera_data::stories::StoryAuthor;
use itera_tokenizer::Tokenizer;
use rayon::prelude::*;

/// Entries of the vocabulary.
const VOCAB_SIZES: [usize; 2] = [1024, 4096];
/// Stories: some four megabytes.
const STORIES: usize = 3500;

fn main() {
    divan::main();
}

fn texts() -> (Vec<String>, BytesCount) {
    let texts: Vec<String> = StoryAuthor::new(0).stories().take(STORIES).map(|story| story.text).collect();
    let bytes = texts.iter().map(String::len).sum::<usize>();
    (texts, BytesCount::new(bytes))
}

fn train(texts: &[String], vocab_size: usize) -> Tokenizer {
    Tokenizer::train_bpe(texts.iter().map(String::as_str), vocab_size).expect("a size that a vocabulary can have")
}

#[divan::bench(args = VOCAB_SIZES, sample_count = 10)]
fn train_vocabulary(bencher: Bencher<'_, '_>, vocab_size: usize) {
    let (texts, bytes) = texts();
    bencher.counter(bytes).bench_local(|| train(black_box(&texts), vocab_size));
}

#[divan::bench(args = VOCAB_SIZES, sample_count = 20)]
fn encode_documents(bencher: Bencher<'_, '_>, vocab_size: usize) {
    let (texts, bytes) = texts();
    let tokenizer = train(&texts, vocab_size);
    let encode = || texts.par_iter().map(|text| tokenizer.encode(text)).collect::<Vec<_>>();
    bencher.counter(bytes).bench_local(encode);
}

#[divan::bench(args = VOCAB_SIZES, sample_count = 20)]
fn encode_one_text(bencher: Bencher<'_, '_>, vocab_size: usize) {
    let (texts, bytes) = texts();
    let tokenizer = train(&texts, vocab_size);
    let text = texts.join("\n");
    bencher.counter(bytes).bench_local(|| tokenizer.encode(black_box(&text)));
}
