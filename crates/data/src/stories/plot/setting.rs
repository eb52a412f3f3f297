//! Openings: who the story is about.

use super::Setting;

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        name: "once",
        opens: r#"[Once upon a time|Long ago|Once|Many years ago|A long time ago|Long, long ago|In the old days|Not
            long ago][ in {region}|], there [was|lived] {a trait} [little |young |]{kind} [named|called] {hero}."#,
        then: ONE_DAY,
    },
    Setting {
        name: "portrait",
        opens: r#"{Hero} was {a trait} [little|young] {kind} who lived [in {region}|[by|near|behind] the
            {landmark}|with {his} family in {region}]."#,
        then: ONE_DAY,
    },
    Setting {
        name: "morning",
        opens: r#"It was {a weather} morning in {region}. {A trait} [little|young] {kind} named {hero} [woke up|opened
            {his} eyes|jumped out of bed|looked out of the window|put on {a cloth}|sat up in bed|stretched|rubbed
            {his} eyes|made {his} bed] and ate {food} for breakfast."#,
        then: "[That day|After breakfast|A little later|Soon after|At noon|That afternoon|An hour later],",
    },
    Setting {
        name: "greeting",
        opens: r#""[Hello|Good morning|Good day], [sun|sky|world|birds|trees|clouds|river|wind|flowers|bees|house|
            road|hills|grass|rain|day]!" [said|called|sang|shouted] {hero}. {Hero} was {a trait} [little|young]
            {kind}, and {he} [greeted|talked to|said hello to] everything, even {keepsake}."#,
        then: "[That day|That morning|This time|Later that day|One {time}|An hour later|After breakfast],",
    },
    Setting {
        name: "home",
        opens: r#"[In|Inside] {a color3} [house|cottage|hut|cabin|tower|houseboat|wagon|farmhouse|barn|tent]
            [by|near|behind] the {landmark} [in {region} |]lived {a trait} [little|young] {kind} named {hero}."#,
        then: ONE_DAY,
    },
    Setting {
        name: "fame",
        opens: r#"[Everyone|Everybody|Every child] in {region} knew {hero}, the {trait} [little|young] {kind}."#,
        then: ONE_DAY,
    },
];

/// "One sunny morning," and its like.
const ONE_DAY: &str = r#"[One {weather} {time}|One day|Then one {weather} {time}|One {time} in
    [spring|summer|autumn|April|May|June|July|August|October]],"#;

/// What the hero looks like and likes, after any opening.
pub(super) const PORTRAIT: &str = r#"[{He} [always|often|sometimes|usually] wore {a nice} {color2} {cloth}. |{He} had
    {a nice} {color2} {cloth} that {he} [never took off|was proud of|got from {his} {loved.my}]. |[In {his}
    pocket|Under {his} bed|In {a nice} box|On {his} shelf|In {a nice} bag|By {his} window], {he} [kept|had]
    {keepsake}, {keepsake2} and {keepsake3}. ][{Hero} [loved|liked] to {hobby} and to {hobby2}|[Most of all|More than
    anything|Best of all], {he} [loved|liked] to {hobby}|{He} [loved|liked] to {hobby}, and nothing tasted better to
    {him} than {food}|[Every day|All day long|Whenever {he} could], {he} would {hobby} [and|or] {hobby2}]."#;
