//! Something that is hard at first.

use super::{Goal, Obstacle};

pub(super) const GOAL: Goal = Goal {
    name: "learn",
    wants: r#"{then} {hero} said to {a critter} {place.at}, "I [want|wish|hope] to [learn to {skill}|{skill} one
        day|{skill} like you|{skill} too|{skill} this week]!" {He} {quickly} put down {his} {dear} {toy}, [rolled up
        {his} sleeves|took a deep breath|ate some {food}|put on {a nice} {color} {cloth}] and [began|started|set to
        work]."#,
    moral: r#"[tried|practiced] [again and again|every day|with patience] when [something|a thing] was hard"#,
    obstacles: &[FELL, LAUGHED, AFRAID],
};

const FELL: Obstacle = Obstacle {
    name: "fell",
    happens: r#"It was [hard|not easy]. {He} [fell|tumbled] [into|over] {number} {nice} [bushes|puddles|baskets|
        buckets|benches|pumpkins], and {he} hit {his} [knee|nose|toe|elbow|chin|head]. "[Ouch|Ow]!" {he}
        [cried|yelled]. "I will never {skill}!" {He} felt {very} {sad}, like {like}."#,
    plea: "I want to {skill}, but I [always|only] fall",
    helped: &[
        r#""[I fell too when I was small|Everyone falls at first]," {said} {helper}{kindly}. "[Look ahead|Look up|Look
            far away] and think of {food}." {Hero} thought of {food} and tried [again|once more]. {He}
            [wobbled|swayed|shook], but this time {he} did not fall. {He} could {skill}!"#,
        r#"{Helper} [held|took] {his} hand and {quickly} counted, "[One, two|Left, right|Up, down]!" They did it
            {number} times. Then {helper} let go. {A critter} {cried}, "Look, {hero} can {skill}!""#,
    ],
    alone: &[r#"{He} {quickly} put [{a nice} pillow|a pile of {flower}|some hay|a heap of {food}] on the ground and
        [tried|started] again. {He} fell {number} times. When the [sun went down|stars came out|moon rose|cows came
        home], {he} could {skill}."#],
};

const LAUGHED: Obstacle = Obstacle {
    name: "laughed",
    happens: r#"{A thief} and {a beast2} were watching. "[Ha, ha|Hee, hee|Ho, ho|Look at that|How funny]!" they
        {cried}. "{Hero} looks like {a thing}!" {His} [face|ears|cheeks] turned [red|pink|hot], and {he} felt {very}
        {sad}, like {like}."#,
    plea: "They laugh at me when I try to {skill}",
    helped: &[
        r#"{Helper} [went to|looked at] the {thief}. "Can you {skill}?" asked {helper}{kindly}. The {thief} {quickly}
            [coughed|blushed|looked away]. It could not! "Then we will [learn|practice] together," said {hero}. By
            [evening|supper time|sunset], {hero}, the {thief} and the {beast2} could all {skill}."#,
        r#""[Let them laugh|Laughing is easy]," {said} {helper}{kindly}. "[Come|I know a place] {spot}, where nobody
            sees us." They {quickly} practiced there for {number} days. When {hero} came back, {he} could {skill}
            [with {his} eyes closed|better than anyone|as lightly as {a flyer}], and the {thief}
            [clapped|cheered|bowed|stopped laughing]."#,
    ],
    alone: &[r#"{He} laughed with them! "[You are right|I do look funny]," {he} said. "Now watch this." {He} tried in
        {a nice} way, [backward|with a hat on|with one eye closed|singing]. That did it! {He} could {skill}, and the
        {thief} [clapped|cheered|bowed|was quiet]."#],
};

const AFRAID: Obstacle = Obstacle {
    name: "afraid",
    happens: r#"But then {his} [knees|legs|hands] began to [shake|tremble|wobble]. What if {he} [fell|got hurt|did it
        wrong|looked like {a thing}]? {He} {quickly} [sat down|hid] {spot} and did not [move|say a word]. {He} felt
        {very} {sad}, like {like}."#,
    plea: "I want to {skill}, but I am [afraid|scared]",
    helped: &[
        r#""I was [afraid|scared] of {a beast2} once," {said} {helper}{kindly}. "[So I gave it a name|So I sang to
            it|So I said hello to it]. Give your fear a name!" {Hero} [thought|smiled]. "I will call it {Rival}," {he}
            said. "Come, {rival}, we will {skill}!" And so they did."#,
        r#""[Do it with me|We will do it together], [only a little bit|very slowly|just once]," {said}
            {helper}{kindly}. They {quickly} did it {number} times. "[How do you feel|How was that]?" asked
            {helper}{kindly}. "Like {like2}!" {cried} {hero}. Soon {he} could {skill}."#,
    ],
    alone: &[
        r#"{He} {quickly} [put|laid] {his} {toy} between some {flower} to watch. "Look," {he} told it, "I will [show
            you|do it for you]." {He} [jumped up|closed {his} eyes], counted to {number}, and tried. {He} could
            {skill}!"#,
    ],
};
