//! Something that is hard at first.

use super::{Goal, Obstacle};

pub(super) const GOAL: Goal = Goal {
    name: "learn",
    wants: r#"{then} {hero} saw {a beast} {place.at} and thought, "[If it can|It can] do so many things. I want to [learn|know how] to {skill}!" {He} [put down|forgot] {his} {toy},
        [rolled up {his} sleeves|took a deep breath|ate some {food}|tied a {color} scarf around {his} head] and [began|tried] [right away|at once]."#,
    moral: r#"[tried|practiced] [again and again|every day|with patience] when [something|a thing] was hard"#,
    obstacles: &[FELL, LAUGHED, AFRAID],
};

const FELL: Obstacle = Obstacle {
    name: "fell",
    happens: r#"It was [hard|not easy]. {He} [fell|tumbled] [into|over] {number} [bushes|puddles|baskets|buckets], and {he} hit {his} [knee|nose|toe|elbow|chin|head]. "[Ouch|Ow]!" {he} [cried|yelled]. "I will never {skill}!" {He} felt [so|very] {sad}."#,
    plea: "I want to {skill}, but I [always|only] fall",
    helped: &[
        r#""[I fell too when I was small|Everyone falls at first]," said {helper}. "[Look ahead|Look up|Look far away], not [down|at your feet], and think of {food}." {Hero} thought of {food} and tried [again|once more]. {He}
        [wobbled|swayed|shook], but this time {he} did not fall. {He} could {skill}!"#,
        r#"{Helper} [held|took] {his} hand and counted, "[One, two|Left, right|Up, down]!" They [went on|did it] from [breakfast to lunch|noon to sunset|one tree to the next]. Then {helper} let go, very [softly|quietly]. {Hero} did
        not notice it until {a beast2} [shouted|called], "Look, {hero} can {skill}!""#,
    ],
    alone: &[
        r#"{He} put [a soft pillow|a pile of leaves|some hay|a heap of straw] on the ground and [tried|started] again. {He} fell [once|twice|{number} more times], but now it was almost fun. When the [sun went down|stars came out|moon rose|cows came home], {he} could {skill}."#,
    ],
};

const LAUGHED: Obstacle = Obstacle {
    name: "laughed",
    happens: r#"{A thief} and {a beast2} were watching. "[Ha, ha|Hee, hee|Look at that]!" they [laughed|giggled|snorted]. "{Hero} looks like {a junk}!" {His} [face|ears|cheeks] turned [red|pink|hot], and {he} felt [so|very]
        {sad}."#,
    plea: "They laugh at me when I try to {skill}",
    helped: &[
        r#"{Helper} [went to|looked at] the {thief}. "Can you {skill}?" asked {helper}. The {thief} [coughed|blushed|looked away]. It could not! "Then we will [learn|practice] together," said {hero}. By [evening|supper time|sunset], {hero}, the {thief} and the {beast2} could all {skill}."#,
        r#""[Let them laugh|Laughing is easy]," said {helper}. "[Come|I know a place] {spot}, where nobody sees us." They practiced there for {number} days. When {hero} came back, {he} could {skill} [with {his} eyes closed|better than anyone|as lightly as {a flyer}], and the {thief}
        [clapped|cheered|bowed|stopped laughing]."#,
    ],
    alone: &[
        r#"{He} laughed with them! "[You are right|I do look funny]," {he} said. "Now watch this." {He} tried in a [silly|funny|new|slow] way, [backward|with a hat on|with one eye closed|singing]. That did it! {He} could {skill}, and the {thief} [clapped|cheered|bowed|was quiet]."#,
    ],
};

const AFRAID: Obstacle = Obstacle {
    name: "afraid",
    happens: r#"But then {his} [knees|legs|hands] began to [shake|tremble|wobble]. What if {he} [fell|got hurt|did it wrong|looked like {a junk}]? {He} [sat down|hid] {spot} and did not [move|say a word]. {He} felt [so|very] {sad}."#,
    plea: "I want to {skill}, but I am [afraid|scared]",
    helped: &[
        r#""I was [afraid|scared] of {a beast2} once," said {helper}. "[So I gave it a name|So I sang to it|So I said hello to it]. Give your fear a name!" {Hero} [thought|smiled]. "I will call it {Rival}," {he} said. "Come, {rival}, we will {skill}!" And so they did."#,
        r#""[Do it with me|We will do it together], [only a little bit|very slowly|just once]," said {helper}. They did [half of it|the first part]. Then they did [more|the next part]. "[How do you feel|Was it bad]?" asked {helper}. "[Like {a flyer}|Like a star|As light as a leaf]," said {hero}. "Again!" Soon {he}
        could {skill}."#,
    ],
    alone: &[
        r#"{He} [put|laid] {his} {toy} in the grass to watch. "Look," {he} told it, "I will [show you|do it for you]." It is [easier|hard] to be [brave|afraid] when someone is watching. {He} [jumped up|closed {his} eyes], counted to {number}, and tried. {He} could {skill}!"#,
    ],
};
