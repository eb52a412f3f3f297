//! A treasure is gone.

use super::{Goal, Obstacle};

pub(super) const GOAL: Goal = Goal {
    name: "lost",
    wants: r#"{then} {hero} [took|carried|brought] {his} {dear} {color} {toy} to {place}. It was from {his}
        {loved.my}, and {he} loved it more than [anything|{food}|all {his} {number} other toys|all {his} {keepsake}].
        {He} showed it to {a beast} and {a beast2}."#,
    moral: "[always kept|never forgot to keep|was careful to keep] {his} things [safe|close|in order]",
    obstacles: &[FORGOT, HOLE, THIEF],
};

const FORGOT: Obstacle = Obstacle {
    name: "forgot",
    happens: r#"Then {he} {quickly} put it down to [pick some {flower}|drink some water|climb {a tree} tree|take a
        nap|listen to a [bird|song|band]|watch [a boat|a plane|the clouds] go by]. When {he} [turned around|came
        back|looked again], the {toy} was gone! {Hero} felt {very} {sad}, like {like}."#,
    plea: "I [lost|can not find|have lost] my {color} {toy}",
    helped: &[
        r#""Then let us [look|search] together," {said} {helper}{kindly}. They looked {spot} and {spot2}, but they
            found only {a thing} and {a thing}. [At last|Finally|Then] {helper} looked {spot3}. "Is this
            [it|yours|what you lost]?" {helper.he} asked. It was the {color} {toy}, [safe and sound|a little dusty|as
            good as new]!"#,
        r#""Close your eyes and [think|remember]," {said} {helper}{kindly}. "Where did you have it last?" {Hero}
            thought [hard|for a while]. First {he} saw {a thing} in {his} mind, and then {a thing}. "I [left it|put
            it] {spot}!" {he} cried at last. They {quickly} [ran|walked] back, and the {toy} was [still|right] there,
            {spot}."#,
    ],
    alone: &[r#"{He} {quickly} went back the way {he} had come. {He} looked {spot}. [Nothing!|It was not there.] {He}
        looked {spot2}. There was only {a thing}. Then {he} looked {spot3}, and something {color} [shone|peeked
        out|lay there]. It was the {toy}!"#],
};

const HOLE: Obstacle = Obstacle {
    name: "hole",
    happens: r#"Then {he} put it in {a nice} bag and {quickly} [ran|skipped|hopped|jumped] [around|about] for {number}
        [hours|minutes]. But the bag had a hole! Now it held only {a thing}. {Hero} felt {very} {sad}, like {like}."#,
    plea: "My {toy} fell out of my bag",
    helped: &[
        r#""[We will follow|Let us follow] your tracks," {said} {helper}{kindly}. They {quickly} followed them, [step
            by step|side by side]. They looked {spot} and {spot2}. "I see something {color}!" {cried} {helper}. There
            lay the {toy}, {spot3}. Then {helper} mended the hole with [a needle and|some] {color2} thread."#,
        r#"{Helper} asked the {beast} and the {beast2}. "I saw it {spot}," said the {beast}. "No, no, it is {spot2},"
            said the {beast2}. They looked in both places. The [{beast}|{beast2}] was right! There lay the {toy}, and
            {a thing} was lying on top of it."#,
    ],
    alone: &[
        r#"{He} put a [stone|leaf|nut] in the bag and [watched|saw] where it fell out. "My {toy} must be like that,"
            {he} said. {He} [crawled|went|looked] along the [path|road|trail], past {a thing} and {a tree} tree, and
            there, {spot}, lay the {toy}. {He} tied a knot in the bag so that nothing could fall out again."#,
    ],
};

const THIEF: Obstacle = Obstacle {
    name: "thief",
    happens: r#"[Suddenly|Just then|All at once], {a thief} [grabbed|snatched|stole] the {toy} and hurried away with
        it. "[Stop|Come back|Give it back]!" {cried} {hero}, but the {thief} did not [stop|listen|look back]. {Hero}
        was {very} {sad}, like {like}."#,
    plea: "{A thief} [took|stole|ran away with] my {toy}",
    helped: &[
        r#""[I know what to do|I have a plan]," {said} {helper}{kindly}. "Every {thief} loves {food}!" They put
            [some|a plate of|a pile of] {food} {spot} and hid {spot2}. Soon the {thief} came. It dropped the {toy} and
            began to [eat|nibble|munch|chew]. {Hero} [took|picked up] the {toy} and [tiptoed|slipped] away."#,
        r#"{Helper} found the {thief} {spot} and {quickly} [sat down beside it|went up to it]. "That {toy} is not
            yours," said {helper} [kindly|firmly|gently|softly]. The {thief} looked [down|away]. "I only wanted to
            [play|look at it|show it to {a beast2}]," it said. "[Then you can play with me|Then let us play
            together|You only had to ask]!" {cried} {hero}. And the {thief} gave the {toy} back."#,
    ],
    alone: &[r#"{He} {quickly} followed the {thief}, past {a tree} tree, and found it {spot}. It was
        [tired|hungry|cold|bored]. {Hero} gave it [some {food}|a pat|a leaf to play with], and the {thief} let go of
        the {toy}. "I am sorry," it {said}{sadly}."#],
};
