use std::collections::HashSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::*;

fn stories(seed: u64, n: usize) -> impl Iterator<Item = Story> {
    StoryAuthor::new(seed).stories().take(n)
}

/// Golden: the first two stories of seed 0. `ITERA_REMAKE_GOLDEN=1 cargo test -p itera-data first_stories` remakes it.
#[test]
fn first_stories_never_change() {
    let told: String =
        stories(0, 2).map(|story| format!("{}\n{:.9} nats\n\n{}\n\n", story.plot, story.nats, story.text)).collect();
    if std::env::var_os("ITERA_REMAKE_GOLDEN").is_some() {
        fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/stories/golden.txt"), &told)
            .expect("a writable source tree");
    }
    assert_eq!(told, include_str!("golden.txt"));
}

#[test]
fn every_story_has_exactly_one_derivation() {
    for story in stories(1, 400) {
        assert_eq!(derivations(&story.text), [story.nats], "{}\n{}", story.plot, story.text);
    }
}

/// Cut anywhere, continued, or with one word exchanged, a story is none: its end is part of its derivation.
#[test]
fn what_is_no_story_has_no_derivation() {
    assert!(derivations("").is_empty());
    for (i, Story { text, .. }) in stories(2, 60).enumerate() {
        let cut = 1 + (i * 7919) % (text.len() - 1);
        assert!(derivations(&text[..cut]).is_empty(), "cut at {cut}: {text}");
        assert!(derivations(&format!("{text} The end.")).is_empty(), "{text}");
        let (start, end) = text.split_at(text.len() / 2);
        let exchanged = format!("{start}{}", end.replacen(" and ", " or ", 1));
        assert!(exchanged == text || derivations(&exchanged).is_empty(), "{exchanged}");
    }
}

#[test]
fn a_story_is_a_function_of_seed_and_index() {
    let author = StoryAuthor::new(5);
    let told: Vec<_> = author.stories().take(20).collect();
    for index in [19, 0, 7, 7] {
        assert_eq!(author.story(index), told[index as usize]);
    }
    assert_ne!(author.story(u64::MAX).text, told[0].text);
    assert!(stories(6, 20).zip(&told).all(|(other, story)| other.text != story.text));
}

/// Ten megabytes: no repeat, and the numbers that the documentation gives.
#[test]
fn ten_megabytes() {
    let (mut bytes, mut nats, mut count) = (0, 0.0, 0);
    let (mut least_nats, mut shortest, mut longest) = (f64::INFINITY, usize::MAX, 0);
    let mut hashes = HashSet::new();
    let mut plots = HashSet::new();
    let mut words = HashSet::new();
    for Story { text, nats: story_nats, plot } in StoryAuthor::new(0).stories() {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        assert!(hashes.insert(hasher.finish()), "told twice: {text}");
        for word in text.split(|letter: char| !letter.is_ascii_alphabetic()) {
            if !words.contains(word) {
                words.insert(word.to_owned());
            }
        }
        plots.insert(plot);
        least_nats = least_nats.min(story_nats);
        (shortest, longest) = (shortest.min(text.len()), longest.max(text.len()));
        (bytes, nats, count) = (bytes + text.len(), nats + story_nats, count + 1);
        if bytes >= 10_000_000 {
            break;
        }
    }
    let words = words.iter().map(|word| word.to_ascii_lowercase()).collect::<HashSet<_>>().len();
    let bits_per_byte = nats / bytes as f64 / std::f64::consts::LN_2;
    let (mean_bytes, mean_nats) = (bytes as f64 / f64::from(count), nats / f64::from(count));
    eprintln!(
        "{count} stories, {} plots, {words} words, {mean_bytes:.1} bytes ({shortest} to {longest}), {mean_nats:.2} nats \
         (from {least_nats:.1}), {bits_per_byte:.4} bits a byte",
        plots.len()
    );
    assert!(least_nats > 100.0 && shortest > 600 && longest < 1800);
    assert!((bits_per_byte - 0.228).abs() < 0.002);
    assert!((mean_bytes - 1142.0).abs() < 10.0);
    assert!(words > 2000 && plots.len() > 5000 && plots.len() <= plot_shapes());
}

#[test]
fn plots_have_names_of_their_own() {
    let plots: HashSet<_> = stories(4, 3000).map(|story| story.plot).collect();
    let names: HashSet<_> = plots.iter().map(PlotId::to_string).collect();
    assert_eq!(names.len(), plots.len());
}

/// A story has one to three names, of children or of animals, and a girl or a boy is a child.
#[test]
fn names_keep_to_their_world() {
    let names: Vec<Vec<&str>> = cast::NAMES.rows.iter().map(|row| row.split('/').collect()).collect();
    for Story { text, .. } in stories(8, 500) {
        let text = text.replace("Honey Hill", "");
        let words: HashSet<&str> = text.split(|c: char| !c.is_alphabetic()).collect();
        let told: Vec<_> = names.iter().filter(|name| words.contains(name[0])).collect();
        assert!((1..=3).contains(&told.len()), "{told:?} in {text}");
        assert!(told.iter().all(|name| name[2] == told[0][2]), "{told:?} in {text}");
    }
}

/// What an editor's eye catches: articles, spaces, capitals, quotation marks, unfinished templates.
#[test]
fn stories_are_well_set() {
    for Story { text, .. } in stories(3, 2000) {
        assert!(text.is_ascii() && !text.contains(['{', '}', '[', ']', '|', '/', '\r', '\t']), "{text}");
        assert_eq!(text.split("\n\n").count(), 4, "{text}");
        for wrong in ["  ", " ,", " .", " !", " ?", ",,", "..", " \n", "\n ", "\n\n\n", "!.", ".,"] {
            assert!(!text.contains(wrong), "`{wrong}` in {text}");
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        for pair in words.windows(2) {
            let [before, word] = [pair[0].trim_start_matches('"'), pair[1]];
            let vowel = word.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U'])
                || ["honest", "hour"].iter().any(|silent| word.starts_with(silent));
            match before {
                "a" | "A" => assert!(!vowel, "{before} {word} in {text}"),
                "an" | "An" => assert!(vowel, "{before} {word} in {text}"),
                _ => {}
            }
            assert!(before != word || before.ends_with(','), "{before} {word} in {text}");
            if before.ends_with(['.', '!']) && !["Mr.", "Mrs."].contains(&before) {
                assert!(word.starts_with(|c: char| c.is_ascii_uppercase() || c == '"'), "{before} {word} in {text}");
            }
        }
        for paragraph in text.split("\n\n") {
            assert!(paragraph.starts_with(|c: char| c.is_ascii_uppercase() || c == '"'), "{text}");
            assert!(paragraph.ends_with(['.', '!', '?', '"']), "{text}");
            assert_eq!(paragraph.matches('"').count() % 2, 0, "{text}");
        }
    }
}
