use super::*;

#[test]
fn print_some() {
    for story in StoryAuthor::new(0).stories().take(12) {
        eprintln!("--- {} {:.1} nats {} bytes\n{}\n", story.plot, story.nats, story.text.len(), story.text);
    }
}

#[test]
fn one_derivation() {
    for story in StoryAuthor::new(1).stories().take(300) {
        let found = derivations(&story.text);
        assert_eq!(found, [story.nats], "{}\n{}", story.plot, story.text);
    }
}
