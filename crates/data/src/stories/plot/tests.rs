//! Whatever a template mentions exists, in every template and every word class.

use super::super::template::{article_of, group, options};
use super::super::{class::Class, lexicon::VARIABLES};
use super::helper::HELPERS;
use super::*;

/// Every template of every plot.
fn templates() -> Vec<&'static str> {
    let mut all = vec![setting::PORTRAIT];
    for setting in setting::SETTINGS {
        all.extend([setting.opens, setting.then]);
    }
    for goal in GOALS {
        all.extend([goal.wants, goal.moral]);
        for obstacle in goal.obstacles {
            all.extend([obstacle.happens, obstacle.plea]);
            all.extend(obstacle.helped);
            all.extend(obstacle.alone);
        }
    }
    for helper in HELPERS {
        all.push(helper.meets);
        all.extend(helper.who.iter().flat_map(|who| [who.called, who.address]));
    }
    all.extend(ending::ENDINGS.iter().map(|ending| ending.text));
    all
}

fn class_of(name: &str) -> Option<&'static Class> {
    let name = if ["he", "him", "his", "himself"].contains(&name) { "hero" } else { name };
    VARIABLES.iter().find(|variable| variable.name == name).map(|variable| variable.class)
}

#[test]
fn slots_name_variables_and_columns() {
    let cells = VARIABLES.iter().flat_map(|variable| variable.class.rows.iter().copied());
    for template in templates().into_iter().chain(cells) {
        for slot in template.split('{').skip(1).map(|rest| rest.split_once('}').expect("a closing brace").0) {
            let mention = slot.split_once(' ').map_or(slot, |(_, mention)| mention).to_ascii_lowercase();
            let (name, column) = mention.split_once('.').unwrap_or((&mention, ""));
            if ["then", "helper", "address", "plea", "moral"].contains(&name)
                && ["", "he", "him", "his"].contains(&column)
            {
                continue;
            }
            let class = class_of(name).unwrap_or_else(|| panic!("no variable for {{{slot}}} in: {template}"));
            let column = if ["him", "his", "himself"].contains(&column) { "he" } else { column };
            assert!(class.columns.contains(&column), "no column for {{{slot}}} in: {template}");
        }
    }
}

#[test]
fn every_variable_is_mentioned() {
    let cells = VARIABLES.iter().flat_map(|variable| variable.class.rows.iter().copied());
    let text = templates().into_iter().chain(cells).collect::<String>().to_ascii_lowercase();
    for name in VARIABLES.iter().map(|variable| variable.name) {
        let mentions = [format!("{{{name}}}"), format!("{{a {name}}}"), format!("{{{name}."), format!("{{a {name}.")];
        let helps = HELPERS.iter().any(|helper| helper.who.as_ref().is_some_and(|who| who.role == name));
        assert!(helps || mentions.iter().any(|mention| text.contains(mention)), "nothing mentions `{name}`");
    }
}

/// Brackets balance, options differ, and no article is written where the next word is still open.
#[test]
fn groups_are_well_formed() {
    fn check(template: &'static str) {
        for article in [" a {", "|a {", "[a {", " A {", "|A {", "[A {", "\"A {"] {
            assert!(!template.contains(article), "write {{a word}}, not a {{word}}: {template}");
        }
        assert!(!template.contains('{') || template.matches('{').count() == template.matches('}').count());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('[') {
            assert!(!before.contains([']', '|']), "a stray bracket or bar in: {template}");
            let (body, after) = group(after);
            let mut all: Vec<_> = options(body).collect();
            all.iter().for_each(|option| check(option));
            let n = all.len();
            all.sort_unstable();
            all.dedup();
            assert!(n > 1 && all.len() == n, "an option stands alone or twice in [{body}]");
            rest = after;
        }
        assert!(!rest.contains([']', '|']), "a stray bracket or bar in: {template}");
    }
    templates().into_iter().for_each(check);
}

#[test]
fn words_are_distinct_and_have_all_their_cells() {
    for variable in VARIABLES {
        let Class { columns, rows, adjectives } = variable.class;
        let mut words = rows.to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), rows.len(), "a word of `{}` stands twice", variable.name);
        for row in *rows {
            assert_eq!(row.split('/').count(), columns.len(), "cells of {row}");
        }
        for word in rows.iter().chain(*adjectives) {
            let sounds_otherwise =
                ["uni", "use", "eu", "one", "hour", "heir"].iter().any(|start| word.starts_with(start));
            assert!(!sounds_otherwise, "the article of `{word}` would be {}", article_of(word));
        }
    }
}

#[test]
fn shapes_are_counted_as_they_are_told() {
    let alone = 36 * 6;
    let helped = 36 * 4 * 2 * 8;
    assert_eq!(plot_shapes(), 6 * (helped + alone));
}
