//! Openings: who the story is about.

use super::Setting;

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        name: "once",
        opens: r#"[Once upon a time|Long ago|Once|Many years ago|A long time ago][ in {region}|], there [was|lived]
            {a trait} [little |young |small |]{kind} [named|called] {hero}."#,
        then: ONE_DAY,
    },
    Setting {
        name: "portrait",
        opens: r#"{Hero} was {a trait} [little|young|small] {kind} who lived [in {region}|[by|near|behind] the
            {landmark}|with {his} family in {region}]."#,
        then: ONE_DAY,
    },
    Setting {
        name: "morning",
        opens: r#"It was {a weather} morning in {region}. {A trait} [little|young|small] {kind} named {hero} [woke up|
            opened {his} eyes|jumped out of bed|looked out of the window] and ate {food} for breakfast."#,
        then: "[That day|After breakfast|A little later|Soon after],",
    },
    Setting {
        name: "greeting",
        opens: r#""[Hello|Good morning|Good day], [sun|sky|world|birds|trees|clouds|river|wind]!" [said|called|sang|
            shouted] {hero}. {Hero} was {a trait} [little|young|small] {kind}, and {he} [said so|did that|greeted
            everything] every day."#,
        then: "[That day|That morning|This time|Later that day],",
    },
    Setting {
        name: "home",
        opens: r#"[In|Inside] {a color3} [house|cottage|hut|cabin|tower] [by|near|behind] the {landmark} [in {region} |]lived
            {a trait} [little|young|small] {kind} named {hero}."#,
        then: ONE_DAY,
    },
    Setting {
        name: "fame",
        opens: r#"[Everyone|Everybody|Every child] in {region} knew {hero}, the {trait} [little|young|small] {kind}."#,
        then: ONE_DAY,
    },
];

/// "One sunny morning," and its like.
const ONE_DAY: &str =
    "[One {weather} {time}|One day|Then one {weather} {time}|One {time} in [spring|summer|autumn|May|June]],";

/// What the hero looks like and likes, after any opening.
pub(super) const PORTRAIT: &str = r#"[{He} [always|often|only] wore {a color2} {cloth}. |{He} had {a color2} {cloth} that
    {he} [never took off|was proud of|got from {his} {loved.my}]. |][{Hero} [loved|liked] to {hobby} and to {hobby2}|[Most of
    all|More than anything|Best of all], {he} [loved|liked] to {hobby}|{He} [loved|liked] to {hobby}, and nothing tasted
    better to {him} than {food}|[Every day|All day long|Whenever {he} could], {he} would {hobby} [and|or] {hobby2}]."#;
